"""Loud tenants stand back at the super cluster while a quiet one is about."""

import asyncio

from syncer.runtime.allowance import LEAST
from syncer.runtime.yielding import QUIET_SECONDS
from tests.fakes.waiting import eventually
from tests.unit.runtime.crowd import Crowd


async def once(crowd: Crowd, tenant: str, seconds: float = 0.0) -> None:
    """The tenant asks, and is answered after that time."""
    task = await crowd.ask(tenant)
    await eventually(lambda: crowd.server.under_way == 1, "it is sent")
    crowd.now += seconds
    await crowd.answers()
    await task


async def disturbed() -> Crowd:
    """A loud tenant has asked much, and a quiet one was answered slowly."""
    crowd = Crowd(8)
    for _ in range(12):
        await once(crowd, "loud")
    for _ in range(12):
        await once(crowd, "loud")
        await once(crowd, "quiet", 0.02)
    return crowd


async def test_loud_ones_stand_back_while_a_quiet_one_is_answered_slowly() -> None:
    crowd = await disturbed()
    tasks = [await crowd.ask("loud") for _ in range(3)]
    assert crowd.server.under_way == 1 < LEAST
    tasks += [await crowd.ask("quiet")]
    assert crowd.server.asked[-1] == "quiet", "it passes them"
    crowd.now += 0.05
    await crowd.answers()
    assert crowd.server.under_way == 1, (
        "the loud one rests; nobody else is under way but the quiet one"
    )
    await eventually(lambda: crowd.server.under_way == 2, "the next loud one is sent")
    crowd.now += QUIET_SECONDS
    await crowd.answers()
    assert crowd.server.under_way == LEAST, "no quiet one is about any more"
    await crowd.answers(2)
    await asyncio.gather(*tasks)


async def test_quiet_ones_wait_for_each_other_and_not_for_those_who_stand_back() -> None:
    crowd = await disturbed()
    tasks = [await crowd.ask(name) for name in ("loud", "loud", "quiet", "quiet")]
    assert crowd.server.under_way == LEAST
    crowd.server.answer(1)
    await eventually(lambda: crowd.server.under_way == LEAST, "the next one is sent")
    assert crowd.server.asked[-3:] == ["loud", "quiet", "quiet"]
    crowd.now += QUIET_SECONDS
    await crowd.answers(3)
    await asyncio.gather(*tasks)


async def test_a_loud_one_that_is_given_up_just_as_its_turn_comes_does_not_count() -> None:
    crowd = await disturbed()
    tasks = [await crowd.ask(name) for name in ("quiet", "loud", "loud", "loud")]
    crowd.server.answer(1)
    await asyncio.sleep(0)  # the next one's turn has come, and it has not run since
    assert tasks[1].done()
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    await eventually(lambda: crowd.server.under_way == 2, "the one after it is sent")
    await crowd.answers(2)
    await asyncio.gather(tasks[0], tasks[3])


async def test_a_quiet_one_that_is_answered_quickly_holds_nobody_back() -> None:
    crowd = Crowd(8)
    for _ in range(12):
        await once(crowd, "loud")
    for _ in range(12):
        await once(crowd, "loud", 0.02)
        await once(crowd, "quiet")
    tasks = [await crowd.ask("loud") for _ in range(3)]
    assert crowd.server.under_way == LEAST
    await crowd.answers(3)
    await asyncio.gather(*tasks)
