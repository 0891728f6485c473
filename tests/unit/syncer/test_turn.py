"""One member's turns at handing out devices: when it has one, and what ends it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from kube.client import Client
from kube.errors import Unreachable
from kube.objects import ObjectKey
from kube.resources import LEASES, NAMESPACES
from syncer.membership.turn import NAME, Turn
from tests.builders import a_namespace
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually

NAMESPACE = "system"
LEASE = ObjectKey(NAMESPACE, NAME)


class Granted:
    """What was granted, as the turn sees it; and what its watch of the others' pods does."""

    def __init__(self) -> None:
        self.on_its_way = False
        self.begun = 0
        self.taken_back = 0
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.asked: list[int | None] = []

    def turn_came(self) -> None:
        self.begun += 1

    def outstanding(self) -> bool:
        return self.on_its_way

    def take_back(self) -> None:
        self.taken_back += 1

    async def catch_up(self, version: int | None) -> int:
        self.asked.append(version)
        await self.caught_up.wait()
        return version or 7


class Member:
    """A member, ``dead`` of which is said of the process by that name."""

    def __init__(self, client: Client, name: str, dead: set[str]) -> None:
        async def is_over(process: str) -> bool:
            return process in dead

        self.turn = Turn(client, NAMESPACE, name, is_over, 0.2)
        self.granted = Granted()
        self.tasks = [
            asyncio.create_task(self.turn.informer.run()),
            asyncio.create_task(self.turn.run(self.granted, lambda: 9, self.granted.catch_up)),
        ]

    def resume(self, *, alone: bool = False) -> None:
        self.turn.resume(self.granted, alone=alone)


class Members:
    """Of one super cluster."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.dead: set[str] = set()
        self.all: list[Member] = []

    def add(self, name: str) -> Member:
        self.all.append(Member(self.client, name, self.dead))
        return self.all[-1]


@pytest.fixture
async def members(apiserver: FakeApiServer, client: Client) -> AsyncIterator[Members]:
    apiserver.create(NAMESPACES, a_namespace(NAMESPACE))
    found = Members(client)
    yield found
    for member in found.all:
        for task in member.tasks:
            task.cancel()


def holder(apiserver: FakeApiServer) -> str | None:
    lease = apiserver.get(LEASES, LEASE)
    return lease["spec"].get("holderIdentity") if lease else None


async def test_one_waits_until_the_other_has_seen_all_that_it_granted(
    apiserver: FakeApiServer, members: Members
) -> None:
    a, b = members.add("a"), members.add("b")
    a.granted.on_its_way = True
    a.resume()
    a.turn.want()
    await eventually(lambda: a.turn.number, "a has its turn")
    b.resume()
    b.turn.want()
    await eventually(lambda: a.granted.taken_back, "what is not sent is taken back")
    assert not a.turn.number
    assert (holder(apiserver), b.granted.begun) == ("a", 0)
    a.granted.on_its_way = False
    a.turn.settled()
    await eventually(lambda: b.granted.begun, "b has its turn")
    assert b.granted.asked == [9], "b has to have seen what a saw"


async def test_the_turn_of_a_dead_member_is_taken_and_all_is_listed(
    apiserver: FakeApiServer, members: Members
) -> None:
    a, b = members.add("a"), members.add("b")
    a.granted.caught_up.clear()
    a.resume()
    a.turn.want()
    await eventually(lambda: holder(apiserver) == "a", "a has taken it")
    for task in a.tasks:
        task.cancel()
    b.resume()
    b.turn.want()
    members.dead.add("a")
    await eventually(lambda: b.granted.begun, "b has its turn")
    assert b.granted.asked == [None]


async def test_who_is_alone_from_now_on_keeps_its_turn(
    apiserver: FakeApiServer, members: Members
) -> None:
    """Also if that comes while it waits for its watch, or for what it has granted."""
    a = members.add("a")
    a.granted.caught_up.clear()
    a.resume()
    a.turn.want()
    await eventually(lambda: a.granted.asked, "it waits for its watch")
    await a.turn.pause(lead=False)
    a.resume(alone=True)
    number = a.turn.number
    assert number
    a.granted.on_its_way = True
    a.granted.caught_up.set()
    a.turn.want()
    b = members.add("b")
    b.resume()
    b.turn.want()
    # Once a second, which is longer than what was granted would be waited for.
    looks = partial(apiserver.script.calls, "GET", "leases")
    before = len(looks())
    await eventually(lambda: len(looks()) >= before + 3, "b has looked for its turn")
    assert (a.turn.number, a.granted.taken_back) == (number, 0)


async def test_who_leaves_gives_it_back_for_good(
    apiserver: FakeApiServer, members: Members
) -> None:
    a, b = members.add("a"), members.add("b")
    a.granted.on_its_way = True
    a.resume()
    a.turn.want()
    await eventually(lambda: a.turn.number, "a has its turn")
    await a.turn.leave()
    assert holder(apiserver) is None
    b.resume()
    b.turn.want()
    await eventually(lambda: b.granted.begun, "b has its turn")


async def test_who_has_left_takes_none(members: Members) -> None:
    a, b = members.add("a"), members.add("b")
    a.resume()
    await a.turn.leave()
    a.turn.want()
    b.resume()
    b.turn.want()
    await eventually(lambda: b.granted.begun, "b has its turn")
    assert not a.granted.begun


async def test_before_a_member_shares_it_has_the_turn_or_waits_for_it(members: Members) -> None:
    a, b = members.add("a"), members.add("b")
    b.granted.on_its_way = True
    b.resume()
    b.turn.want()
    await eventually(lambda: b.turn.number, "b has its turn")
    a.resume(alone=True)
    with pytest.raises(Unreachable, match="another member has the turn"):
        await a.turn.pause(lead=True)


async def test_garbage_in_place_of_the_lease_ends_nothing(
    apiserver: FakeApiServer, members: Members
) -> None:
    a = members.add("a")
    garbage = apiserver.script.add("GET", f"/leases/{NAME}$", Answer(200, body=b"<html>"))
    a.resume()
    a.turn.want()
    await eventually(lambda: a.granted.begun, "a has its turn")
    assert garbage.hits == 1
