"""Who may act for which tenants: the shares, the record of claims, the fence."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.client import Client
from kube.connection import Credentials, FixedCredentials
from kube.errors import Unreachable
from kube.objects import ObjectKey
from kube.resources import CONFIG_MAPS, NAMESPACES
from kube.transport import AiohttpTransport
from syncer import buckets
from syncer.membership.fence import Fence, FencedTransport
from syncer.membership.members import Membership
from syncer.settings import Settings
from tests.builders import a_namespace
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Hang
from tests.fakes.waiting import eventually

members = st.sets(st.sampled_from(["a", "b", "c", "syncer-7f-x2", "d.e"]), min_size=1)


@given(members)
def test_every_bucket_belongs_to_just_one_member(names: set[str]) -> None:
    shares = [buckets.share(name, names) for name in names]
    assert sorted(bucket for share in shares for bucket in share) == sorted(buckets.ALL)


@given(members, st.sampled_from(["new", "zz-9"]))
def test_only_what_a_new_member_wins_moves(names: set[str], new: str) -> None:
    won = buckets.share(new, names | {new})
    for name in names:
        assert buckets.share(name, names | {new}) == buckets.share(name, names) - won


def test_three_members_share_about_equally() -> None:
    sizes = [len(buckets.share(name, ["a", "b", "c"])) for name in "abc"]
    assert min(sizes) > 10


@given(st.frozensets(st.integers(0, 63)))
def test_buckets_are_read_as_they_were_written(some: frozenset[int]) -> None:
    assert buckets.parse(buckets.text(some)) == some


@pytest.mark.parametrize("written", ["64", "-1", "a", "3-"])
def test_buckets_that_cannot_be_are_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"bucket|invalid literal"):
        buckets.parse(f"0,{written},70" if written == "3-" else written)


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="SYNCER_LEASE_SECONDS is 3, but must be at least 7"):
        Settings.from_environment({"SYNCER_LEASE_SECONDS": "3"})
    with pytest.raises(ValueError, match="SYNCER_MEMBER is 'A b', but must be a DNS subdomain"):
        Settings.from_environment({"SYNCER_MEMBER": "A b"})


class Clock:
    """The members' clock, which the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


LEASE, DEADLINE = 1, 0.5
"""In the members' seconds, which pass only when a test says so."""


class Member:
    """A member whose steps the test takes."""

    def __init__(self, server: FakeApiServer, name: str, clock: Clock) -> None:
        credentials = Credentials(server=server.url, ca=b"")
        self.client = Client(AiohttpTransport(FixedCredentials(credentials)), 90.0)
        key = ObjectKey("system", name)
        self.membership = Membership(self.client, key, LEASE, DEADLINE, lambda: None, clock)

    @property
    def acts_for(self) -> frozenset[int]:
        """The buckets that it may write for at this moment."""
        return self.membership.held if self.membership.fence.is_open else frozenset()

    async def settle(self) -> None:
        """What the syncer does, without tenants."""
        membership = self.membership
        if not membership.fence.is_open and not await membership.reclaim():
            return
        if membership.resume():
            await membership.exchange(membership.share())

    async def reopens(self) -> None:
        """After a gap, as soon as the Lease is renewed."""
        async with asyncio.timeout(60):
            while not self.membership.fence.is_open:
                await asyncio.sleep(0.02)
                await self.membership.reclaim()
                self.membership.resume()

    async def settles(self, wanted: frozenset[int], what: str) -> None:
        """Settle until it acts for these buckets."""
        async with asyncio.timeout(60):
            while self.acts_for != wanted:
                await self.settle()
                await asyncio.sleep(0.02)
        assert self.acts_for == wanted, what


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    """The super cluster's API server."""
    server = FakeApiServer()
    await server.start()
    server.create(NAMESPACES, a_namespace("system"))
    yield server
    await server.stop()


@contextlib.asynccontextmanager
async def members_of(
    server: FakeApiServer, clock: Clock, *names: str, others: tuple[str, ...] = ()
) -> AsyncIterator[list[Member]]:
    """Members that know each other, and the ``others``."""
    found = [Member(server, name, clock) for name in names]
    running = [asyncio.create_task(member.membership.run()) for member in found]
    for member in found:
        await eventually(partial(_knows, member, {*names, *others}), "they know each other")
    try:
        yield found
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        for member in found:
            await member.client.close()


def _knows(member: Member, names: set[str]) -> bool:
    return member.membership.alive() == names


async def test_nothing_is_held_by_two_while_it_changes_hands(server: FakeApiServer) -> None:
    clock = Clock()
    async with members_of(server, clock, "a", "b", "c") as all_of_them:
        shares = [buckets.share(m.membership.name, ["a", "b", "c"]) for m in all_of_them]
        await asyncio.gather(
            *(m.settles(share, "its share") for m, share in zip(all_of_them, shares, strict=True))
        )
        assert sum(len(member.acts_for) for member in all_of_them) == 64


async def test_who_was_silent_too_long_begins_with_nothing(server: FakeApiServer) -> None:
    clock = Clock()
    async with members_of(server, clock, "a", "b") as (a, b):
        await a.settles(buckets.share("a", "ab"), "its share")
        fault = server.script.add_for_good("PUT", "/leases/a$", Hang())
        clock.now += DEADLINE + 0.1
        assert not a.acts_for, "it stops before anybody else may begin"
        clock.now += LEASE
        await b.settles(buckets.ALL, "all of it")
        fault.remove()
        await eventually(lambda: "a" in b.membership.alive(), "a is heard of again")
        assert not a.membership.resume(), "not before it knows what is still its own"
        await a.reopens()
        assert not a.membership.held
        assert not a.acts_for & b.acts_for


async def test_who_was_silent_too_long_keeps_what_nobody_took(server: FakeApiServer) -> None:
    clock = Clock()
    async with members_of(server, clock, "a", "b", "c") as (a, b, _c):
        before = buckets.share("a", "abc")
        await a.settles(before, "its share")
        fault = server.script.add_for_good("PUT", "/leases/a$", Hang())
        clock.now += LEASE + 0.1
        await eventually(lambda: b.membership.alive() == {"b", "c"}, "c is heard of, a is not")
        await b.settles(buckets.share("b", "bc"), "the part of b, while c takes its time")
        fault.remove()
        await a.reopens()
        assert a.acts_for == before - b.acts_for != before


async def test_who_is_taken_for_dead_while_it_comes_back_keeps_what_it_has(
    server: FakeApiServer,
) -> None:
    clock = Clock()
    async with members_of(server, clock, "a", "b") as (a, b):
        await a.settles(buckets.share("a", "ab"), "its share")
        await b.settles(buckets.share("b", "ab"), "its share")
        silence = server.script.add_for_good("PUT", "/leases/a$", Hang())
        clock.now += LEASE + 0.1
        await b.reopens()
        late = server.script.add("PUT", "/configmaps/syncer-buckets$", Hang())
        taking = asyncio.create_task(b.membership.exchange(buckets.ALL))
        await eventually(lambda: late.hits, "b is about to take what a has")
        silence.remove()
        await a.reopens()
        late.remove()
        await taking
        assert not a.acts_for & b.acts_for
        await b.settles(buckets.share("b", "ab"), "its share")
        assert a.acts_for == buckets.share("a", "ab")
        assert not a.acts_for & b.acts_for


async def test_who_hears_late_of_the_others_looks_before_it_takes(server: FakeApiServer) -> None:
    clock = Clock()
    async with members_of(server, clock, "a") as (a,):
        await a.settles(buckets.ALL, "all of it")
        server.script.add("WATCH", "/leases$", Hang())
        async with members_of(server, clock, "b", others=("a",)) as (b,):
            clock.now += LEASE + 0.1
            await a.reopens()
            await b.reopens()
            assert b.membership.alive() == {"b"}, "its watch says nothing"
            await b.membership.exchange(b.membership.share())
            assert not b.acts_for


async def test_a_closed_fence_lets_reads_pass_and_no_write(server: FakeApiServer) -> None:
    clock = Clock()
    fence = Fence(clock)
    transport = AiohttpTransport(FixedCredentials(Credentials(server=server.url, ca=b"")))
    client = Client(FencedTransport(transport, fence))
    key = ObjectKey("system", "x")
    body = b'{"metadata":{"name":"x","namespace":"system"}}'
    fence.open_until(clock() + 1)
    await client.create(CONFIG_MAPS, key, body)
    clock.now += 1
    with pytest.raises(Unreachable, match="Lease is not renewed"):
        await client.delete(CONFIG_MAPS, key, uid="u")
    assert await client.get(CONFIG_MAPS, key)
    assert not server.script.calls("DELETE")
    await client.close()
