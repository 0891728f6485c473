"""Turns at the super cluster: who has the fewest requests under way, and lately, comes next."""

import asyncio

import pytest

from syncer.runtime.allowance import LEAST
from syncer.runtime.fair_share import CREDIT, FEW
from syncer.runtime.fair_transport import LARGE, kind_of
from tests.fakes.waiting import eventually
from tests.unit.runtime.crowd import OK, Crowd


async def test_a_quiet_tenant_passes_a_loud_ones_line() -> None:
    crowd = Crowd(2)
    loud = [await crowd.ask("loud") for _ in range(5)]
    quiet = await crowd.ask("quiet")
    assert crowd.server.asked == ["loud", "loud"]
    await crowd.answers()
    assert crowd.server.asked[2:] == ["quiet"]
    await crowd.answers(5)
    assert await asyncio.gather(*loud, quiet) == [OK] * 6


async def test_what_waits_is_told_and_for_how_long() -> None:
    crowd = Crowd(2)
    for _ in range(4):
        await crowd.ask("loud")
    given_up = await crowd.ask("loud")
    given_up.cancel()
    await asyncio.sleep(0)
    assert (crowd.transport.limit, crowd.transport.waiting("loud")) == (2, 2)
    assert crowd.transport.waiting("quiet") == 0
    crowd.now += 0.4
    await crowd.answers()
    assert crowd.transport.waiting("loud") == 1
    assert crowd.waits == [0.0, 0.0, 0.4]


async def test_equals_take_turns() -> None:
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("a", "b", "b", "c", "c")]
    await crowd.answers(5)
    assert crowd.server.asked == ["a", "b", "c", "b", "c"]
    await asyncio.gather(*tasks)


async def test_who_has_fewest_under_way_comes_next() -> None:
    crowd = Crowd(2)
    tasks = [await crowd.ask(name) for name in ("b", "b", "a", "a", "a")]
    crowd.server.answer(1)
    await eventually(lambda: crowd.server.under_way == 2, "the next is through")
    assert crowd.server.asked == ["b", "b", "a"], "b has one under way still"
    tasks += [await crowd.ask("b")]
    crowd.server.answer(1)
    await eventually(lambda: crowd.server.under_way == 2, "the next is through")
    assert crowd.server.asked[3:] == ["a"], "though a has had as many turns as b"
    await crowd.answers(4)
    assert await asyncio.gather(*tasks) == [OK] * 6


async def test_one_with_credit_does_not_hold_all_places() -> None:
    """Its requests may be slow ones."""
    crowd = Crowd(2)
    tasks = [await crowd.ask("used") for _ in range(9)]
    await crowd.answers(7)
    tasks += [await crowd.ask(name) for name in ("fresh", "fresh", "used")]
    await crowd.answers(1)
    assert crowd.server.asked[-1] == "fresh"
    await crowd.answers(1)
    assert crowd.server.asked[-1] == "used", "fresh has one under way already"
    await crowd.answers(3)
    await asyncio.gather(*tasks)


async def grown(crowd: Crowd, method: str = "POST", status: int = 200) -> int:
    """How many are under way at once after many quick answers while others wait; they are answered too."""
    tasks = [await crowd.ask("a", method) for _ in range(200)]
    await crowd.answers(150, status)
    found = crowd.server.under_way
    while crowd.server.under_way:
        await crowd.answers()
    await asyncio.gather(*tasks)
    return found


async def test_a_server_that_answers_quickly_is_asked_more_at_once() -> None:
    assert await grown(Crowd(8)) == 8


async def test_what_reading_takes_says_nothing() -> None:
    """It hangs on how much is read."""
    assert await grown(Crowd(8), "GET") == LEAST


async def test_how_long_large_objects_take_says_nothing() -> None:
    """Else a tenant that writes them would have all others held back."""
    crowd = Crowd(8)
    assert await grown(crowd) == 8
    large = bytes(LARGE + 1)
    for _ in range(50):
        task = await crowd.ask("large")
        crowd.now += 0.4
        crowd.server.answer(body=large)
        assert (await task).body == large
    assert crowd.transport.limit == 8


async def test_what_is_refused_says_nothing() -> None:
    """Else a tenant whose objects are refused would make what succeeds look slow."""
    assert await grown(Crowd(8), status=403) == LEAST


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/api/v1/namespaces/web/pods", "POST pods"),
        ("/api/v1/namespaces/web/pods/a/status?fieldManager=x", "POST pods"),
        ("/api/v1/namespaces/web", "POST namespaces"),
        ("/api/v1/namespaces?a=/b", "POST namespaces"),
        ("/api/v1/nodes/a/status", "POST nodes"),
        ("/apis/networking.k8s.io/v1/namespaces/web/ingresses/a", "POST ingresses"),
        ("/apis/storage.k8s.io/v1/storageclasses", "POST storageclasses"),
    ],
)
def test_kinds_are_told_apart_by_resource(target: str, kind: str) -> None:
    assert kind_of("POST", target) == kind


@pytest.mark.parametrize("status", [200, 429], ids=["slowly", "that it has too much to do"])
async def test_a_server_that_answers_so_is_asked_less_at_once(status: int) -> None:
    crowd = Crowd(8)
    crowd.now = 0.001
    assert await grown(crowd) == 8
    tasks = [await crowd.ask("a") for _ in range(60)]
    assert crowd.server.under_way == 8
    for _ in range(50):
        if status == 200:
            crowd.now += 1.0
        await crowd.answers(1, status)
    assert crowd.server.under_way == LEAST
    while crowd.server.under_way:
        await crowd.answers()
    await asyncio.gather(*tasks)


async def test_who_was_quiet_passes_all_who_were_not() -> None:
    """Also with what it asks next: a pod is two requests."""
    crowd = Crowd(1)
    loud = [await crowd.ask(name) for name in ("a", "b", "c") for _ in range(9)]
    await crowd.answers(15)
    quiet = []
    for _ in range(CREDIT):
        quiet.append(await crowd.ask("quiet"))
        await crowd.answers()
    assert crowd.server.asked[-CREDIT:] == ["quiet"] * CREDIT
    await crowd.answers(12)
    assert await asyncio.gather(*loud, *quiet) == [OK] * (27 + CREDIT)


async def test_who_comes_back_loud_has_no_more_than_its_credit() -> None:
    """However long it was away, and however much the others have had meanwhile."""
    crowd = Crowd(1)
    tasks = [await crowd.ask("steady") for _ in range(40)]
    await crowd.answers(30)
    tasks += [await crowd.ask("back") for _ in range(10)]
    await crowd.answers(9)
    asked = crowd.server.asked[31:]
    assert asked[: CREDIT + 1].count("back") >= CREDIT
    assert asked.count("back") <= CREDIT + 3, "then they take turns"
    await crowd.answers(11)
    await asyncio.gather(*tasks)


async def test_turns_had_while_nobody_waited_are_no_debt() -> None:
    """The others' bursts would else be served first until they had as many."""
    crowd = Crowd(1)
    for _ in range(50):
        task = await crowd.ask("early")
        await crowd.answers()
        await task
    tasks = [await crowd.ask(name) for name in ("b", "c") for _ in range(20)]
    tasks += [await crowd.ask("early")]
    await crowd.answers(2 * (CREDIT + 1) + 1)
    assert "early" in crowd.server.asked[50:]
    await crowd.answers(41 - 2 * (CREDIT + 1) - 1)
    await asyncio.gather(*tasks)


async def test_among_thousands_it_is_remembered_who_had_many() -> None:
    crowd = Crowd(1)
    tenants = ["loud"] * 50 + [f"tenant-{number}" for number in range(2 * FEW)]
    for tenant in tenants:
        task = await crowd.ask(tenant)
        await crowd.answers()
        await task
    tasks = [await crowd.ask(name) for name in ("held", "loud", "fresh")]
    await crowd.answers()
    assert crowd.server.asked[-1] == "fresh"
    await crowd.answers(2)
    await asyncio.gather(*tasks)


async def test_by_weight() -> None:
    crowd = Crowd(1, {"heavy": 3, "light": 1}.__getitem__)
    tasks = [await crowd.ask(name) for name in ("light", "heavy") for _ in range(40)]
    await crowd.answers(20)
    start = len(crowd.server.asked)
    await crowd.answers(20)
    assert 14 <= crowd.server.asked[start:].count("heavy") <= 16
    await crowd.answers(40)
    await asyncio.gather(*tasks)


async def test_what_no_tenant_asks_for_never_waits() -> None:
    """Our own Lease, above all."""
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("loud", "loud", "")]
    assert crowd.server.asked == ["loud", ""]
    await crowd.answers(3)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("which", [0, 1], ids=["under way", "waiting"])
async def test_one_that_is_given_up_leaves_its_place(which: int) -> None:
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("a", "b", "c")]
    tasks[which].cancel()
    await asyncio.wait([tasks[which]])
    rest = [task for task in tasks if not task.cancelled()]
    await eventually(lambda: crowd.server.under_way == 1, "one is under way")
    await crowd.answers(2)
    assert await asyncio.gather(*rest) == [OK] * 2


async def test_one_that_is_given_up_just_as_its_turn_comes_passes_it_on() -> None:
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("a", "b", "c")]
    crowd.server.answer()
    await asyncio.sleep(0)  # b's turn has come, and b has not run since
    assert tasks[0].done()
    assert crowd.server.asked == ["a"]
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    await eventually(lambda: crowd.server.asked[-1] == "c", "c is through")
    await crowd.answers()
    assert await tasks[2] == OK


async def test_a_slow_one_does_not_keep_others_from_their_turn() -> None:
    """A webhook hangs, for example: waiting for it is no work for the API server."""
    crowd = Crowd(1)
    tasks = [await crowd.ask(name) for name in ("slow", "quiet")]
    await eventually(lambda: crowd.server.asked == ["slow", "quiet"], "the quiet one is through")
    assert crowd.server.under_way == 2
    third = await crowd.ask("third")
    await crowd.answers(2)
    assert crowd.server.asked[2:] == ["third"], "its place was given back once"
    await crowd.answers()
    await asyncio.gather(*tasks, third)
