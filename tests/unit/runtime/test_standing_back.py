"""Loud tenants stand back at the super cluster while a quiet one is about."""

import asyncio

from syncer.runtime.allowance import LEAST, Allowance
from syncer.runtime.fair_share import CREDIT, FairShare
from syncer.runtime.yielding import QUIET_SECONDS, Yielding
from tests.fakes.waiting import eventually
from tests.unit.runtime.crowd import TURNS, Crowd

BUSY = 0.02
"""What a request takes on a busy server; on an idle one it takes no time."""


async def once(crowd: Crowd, tenant: str, seconds: float = 0.0) -> None:
    """The tenant asks, and is answered after that time."""
    task = await crowd.ask(tenant)
    await eventually(lambda: crowd.server.under_way == 1, "it is sent")
    crowd.now += seconds
    await crowd.answers()
    await task


async def after(loud: float, quiet: float, most_held: int = 1000) -> Crowd:
    """A loud tenant has asked much, and a quiet one little; their last answers took so long."""
    crowd = Crowd(8, most_held=most_held)
    for _ in range(12):
        await once(crowd, "loud")
    for _ in range(12):
        await once(crowd, "loud", loud)
        await once(crowd, "quiet", quiet)
    await once(crowd, "loud")  # is sent when no other one rests; needs no rest itself
    return crowd


async def loud_at_once(crowd: Crowd) -> int:
    """How many of three loud requests are under way; they are answered then."""
    tasks = [await crowd.ask("loud") for _ in range(3)]
    found = crowd.server.under_way
    crowd.now += QUIET_SECONDS
    await crowd.answers(found)
    tasks += [await crowd.ask("")]  # it never waits
    while crowd.server.under_way:
        await crowd.answers()
    await asyncio.gather(*tasks)
    return found


async def test_loud_ones_stand_back_while_a_quiet_one_is_answered_slowly() -> None:
    crowd = await after(loud=BUSY, quiet=BUSY)
    tasks = [await crowd.ask("loud") for _ in range(3)]
    assert crowd.server.under_way == 1 < LEAST
    tasks += [await crowd.ask("quiet")]
    assert crowd.server.asked[-1] == "quiet", "it passes them"
    crowd.now += BUSY
    await crowd.answers()
    assert crowd.server.under_way == 1, "the quiet one only: the loud one rests"
    await eventually(lambda: crowd.server.under_way == 2, "the next loud one is sent")
    await crowd.answers()
    assert crowd.server.under_way == 1
    crowd.now += QUIET_SECONDS
    tasks += [await crowd.ask("late")]
    assert crowd.server.asked[-1] == "loud", "no quiet one is about any more: in order"
    await crowd.answers(3)
    await asyncio.gather(*tasks)


async def test_nobody_stands_back_for_one_that_is_answered_quickly() -> None:
    assert await loud_at_once(await after(loud=BUSY, quiet=0.0)) == LEAST


async def test_nobody_stands_back_for_one_that_is_slow_by_itself() -> None:
    """There is a webhook for its pods, for example; the others' requests are answered quickly."""
    assert await loud_at_once(await after(loud=0.0, quiet=BUSY)) == LEAST


async def test_nobody_stands_back_once_no_quiet_one_is_about() -> None:
    crowd = await after(loud=BUSY, quiet=BUSY)
    crowd.now += QUIET_SECONDS
    assert await loud_at_once(crowd) == LEAST


async def test_what_teaches_nothing_keeps_nobody_back() -> None:
    """Reads and refusals: a tenant could have others stand back with them for as long as it likes."""
    crowd = await after(loud=BUSY, quiet=BUSY)
    crowd.now += QUIET_SECONDS
    for method, status in (("GET", 200), ("POST", 403)):
        task = await crowd.ask("quiet", method)
        crowd.now += BUSY
        await crowd.answers(1, status)
        await task
    assert await loud_at_once(crowd) == LEAST


async def test_those_who_stand_back_leave_workers_to_the_quiet_one() -> None:
    """Each that waits keeps one."""
    crowd = await after(loud=BUSY, quiet=BUSY, most_held=3)
    tasks = [await crowd.ask("loud") for _ in range(4)]
    assert crowd.server.under_way == 1, "three wait"
    tasks += [await crowd.ask("loud")]
    for _ in range(TURNS):  # not longer: what is slow leaves its place after a while
        await asyncio.sleep(0)
    assert crowd.server.under_way == LEAST
    crowd.now += QUIET_SECONDS
    await crowd.answers(5)
    await asyncio.gather(*tasks)


async def test_quiet_ones_wait_for_each_other_and_not_for_those_who_stand_back() -> None:
    crowd = await after(loud=BUSY, quiet=BUSY)
    tasks = [await crowd.ask(name) for name in ("loud", "loud", "quiet", "quiet")]
    assert crowd.server.under_way == LEAST
    crowd.server.answer(1)
    await eventually(lambda: crowd.server.under_way == LEAST, "the next one is sent")
    assert crowd.server.asked[-3:] == ["loud", "quiet", "quiet"]
    crowd.now += QUIET_SECONDS
    await crowd.answers(3)
    await asyncio.gather(*tasks)


async def test_the_server_is_not_given_more_because_some_stand_back() -> None:
    """They would not be sent anyway; and all of it would be sent at once when the quiet one goes."""
    allowance, yielding = Allowance(8), Yielding()
    for loud in (True, False):
        for _ in range(10):
            yielding.answered(slow=True, loud=loud)
    share = FairShare(allowance, yielding, most_held=1000)
    for _ in range(2 * CREDIT):
        share.leave("loud", await share.enter("loud"), 0.0)
    assert await share.enter("loud")
    held = asyncio.create_task(share.enter("loud"))
    await asyncio.sleep(0)
    assert (share.waiting("loud"), share.scarce) == (1, False)
    assert not await share.enter("quiet")
    assert share.scarce, "now it waits for a place, too"
    share.leave("quiet", False, 0.0)
    share.leave("loud", True, 0.0)
    assert await held


async def test_a_loud_one_that_is_given_up_just_as_its_turn_comes_does_not_count() -> None:
    crowd = await after(loud=BUSY, quiet=BUSY)
    tasks = [await crowd.ask(name) for name in ("quiet", "loud", "loud", "loud")]
    crowd.server.answer(1)
    await asyncio.sleep(0)  # the next one's turn has come, and it has not run since
    assert tasks[1].done()
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    await eventually(lambda: crowd.server.under_way == 2, "the one after it is sent")
    await crowd.answers(2)
    await asyncio.gather(tasks[0], tasks[3])
