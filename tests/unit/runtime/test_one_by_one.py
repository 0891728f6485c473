"""One request of a tenant at a time, with a pause; nobody is forgotten."""

from syncer.runtime.one_by_one import OneByOne
from syncer.runtime.workqueue import Request
from tests.fakes.waiting import eventually

PAUSE = 0.02


def a_request(name: str, tenant: str = "acme") -> Request:
    return Request(tenant, "pods", "default", name)


async def test_those_that_wait_are_asked_for_in_turn() -> None:
    asked: list[Request] = []
    turns = OneByOne(PAUSE, asked.append)
    first, second, third = (a_request(name) for name in ("first", "second", "third"))
    assert turns.begin(first)
    assert not turns.begin(second)
    assert not turns.begin(third)
    assert not turns.begin(second)  # asked twice, it waits once
    turns.end(first)
    await eventually(lambda: asked == [second], "it is the second's turn")
    assert not turns.begin(a_request("latecomer"))
    assert turns.begin(second)
    assert not turns.begin(second)
    turns.end(second)
    await eventually(lambda: asked[1:2] == [third], "it is the third's turn")


async def test_nobody_begins_before_the_other_one_has_ended() -> None:
    asked: list[Request] = []
    turns = OneByOne(PAUSE, asked.append)
    assert turns.begin(a_request("slow"))
    assert not turns.begin(a_request("next"))
    assert turns.begin(a_request("first", "other"))
    turns.end(a_request("first", "other"))
    for name in ("second", "third"):
        assert not turns.begin(a_request(name, "other"))
    await eventually(lambda: len(asked) == 2, "another tenant's pauses are over")
    assert a_request("next") not in asked
    turns.end(a_request("slow"))
    await eventually(lambda: asked[2:] == [a_request("next")], "it is the next one's turn")


async def test_one_that_does_not_come_back_holds_nobody_up() -> None:
    asked: list[Request] = []
    turns = OneByOne(PAUSE, asked.append)
    assert turns.begin(a_request("first"))
    turns.end(a_request("first"))
    for name in ("gone", "here"):
        assert not turns.begin(a_request(name))
    await eventually(lambda: len(asked) == 2, "both were asked for")
    await eventually(lambda: turns.begin(a_request("anybody")), "the tenant is quiet again")


async def test_tenants_do_not_wait_for_each_other() -> None:
    turns = OneByOne(60.0, lambda _: None)
    assert turns.begin(a_request("one"))
    assert turns.begin(a_request("one", "other"))
    assert not turns.begin(a_request("two"))
