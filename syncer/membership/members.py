"""Which buckets this process holds, and how they go from one member to another.

A bucket changes hands in two writes to the record of claims: its holder gives it up once nothing of it
is worked on any more, then the member that should have it takes it. Of a member whose Lease has expired
the others take at once; that member has stopped writing before (``fence``).
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping

import structlog

from kube.client import Client
from kube.errors import ApiError, Conflict, NotFound, Unreachable
from kube.objects import ObjectKey
from kube.resources import CONFIG_MAPS, LEASES, Resource
from syncer import buckets
from syncer.entries import Entry, entry_decoder
from syncer.membership import claims
from syncer.membership.claims import Claim, Record
from syncer.membership.fence import Clock, Fence, seconds
from syncer.membership.lease import COMPONENT, Others, OwnLease, decode_lease, remove
from syncer.runtime.informer import Informer, Store
from syncer.runtime.store import ObjectStore
from vcluster import api

log = structlog.get_logger(__name__)

RENEWALS = 7
"""So often a Lease is renewed within its time."""
ATTEMPTS = 8
"""So often a write to the record of claims is tried when others are faster."""


class Membership:
    """One member. ``changed`` is called when ``settle`` and ``exchange`` may have something to do.

    ``deadline``: seconds after a renewal until we stop writing; what is on its way then must have
    arrived, or be given up, before the Lease expires (``lease_seconds``).
    """

    def __init__(
        self,
        client: Client,
        key: ObjectKey,
        lease_seconds: int,
        deadline: float,
        changed: Callable[[], None],
        clock: Clock = seconds,
    ) -> None:
        self.name = key.name
        self.held: frozenset[int] = frozenset()
        """The buckets that are ours, by the record."""
        self.fence = Fence(clock)
        self._client = client
        self._namespace = key.namespace
        self._deadline = deadline
        self._pause = lease_seconds / RENEWALS
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._changed = changed
        self.process = f"{key.name}/{uuid.uuid4().hex[:12]}"
        """The member's name, and a part that no other process has."""
        self._lease = OwnLease(client, key, self.process, lease_seconds)
        self._others = Others(clock, self._note)
        self._record_seen = ObjectStore[Entry](
            entry_decoder(keep_bytes=False), lambda *_change: self._note()
        )
        self._good_until = 0.0
        self._gaps = 0  # times that the Lease was not renewed in time, the beginning included
        self._claimed_in_gap = 0  # which of them our claim was renewed after
        self._claim = Claim("")
        self._absent: dict[str, float] = {}
        self._alive: frozenset[str] = frozenset()
        self._noted = True
        self.informers = tuple(self._informers(client))

    async def run(self) -> None:
        """Renew the Lease and watch the others' until cancelled. Raises Displaced."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self.informers:
                tasks.create_task(informer.run())
            tasks.create_task(self._renewals())
            tasks.create_task(self._watch_the_time())

    def alive(self) -> frozenset[str]:
        """The members that live, as far as we know; we are among them."""
        return frozenset({self.name, *self._others.alive()})

    def share(self) -> frozenset[int]:
        """The buckets that should be ours."""
        return buckets.share(self.name, self.alive())

    async def reclaim(self) -> bool:
        """After a gap: which of the buckets are still ours; False while the Lease is not renewed.

        By this write whoever has begun to take us for dead is refused, or we learn that it was faster.
        Raises ApiError, Unreachable.
        """
        gap = self._gaps
        if self._clock() >= self._good_until:
            return False
        for _ in range(ATTEMPTS):
            record = await claims.read(self._client, self._namespace)
            kept = self._still_ours(record.claims.get(self.name))
            claim = Claim(f"{self.process}#{gap}", kept)
            if await self._write(record, {**record.claims, self.name: claim}):
                self._take(claim)
                self._claimed_in_gap = gap
                return True
        raise Unreachable("others write to the record of claims all the time")

    def resume(self) -> bool:
        """Open the fence, if the Lease was good all the time since ``reclaim``.

        Nothing of buckets that are not held may be worked on any more.
        """
        if self._claimed_in_gap == self._gaps and self._clock() < self._good_until:
            self.fence.open_until(self._good_until)
        return self.fence.is_open

    async def exchange(self, share: frozenset[int]) -> None:
        """Give up what is not of our share, and take of it what is free. Raises ApiError, Unreachable.

        Nothing of what is given up may be worked on any more.
        """
        if share == self.held and not self._noted:
            return
        self._noted = False
        for _ in range(ATTEMPTS):
            record = await claims.read(self._client, self._namespace)
            if record.claims.get(self.name) != self._claim:
                log.warning("our claim was changed by somebody else", member=self.name)
                self._lapse()
                return
            dead = {name for name in record.claims if await self._is_dead(name)}
            wanted = _after_exchange(record.claims, self.name, share, dead)
            if wanted == record.claims or await self._write(record, wanted):
                self._take(wanted[self.name])
                await self._bury(wanted)
                return
        self._changed()

    async def is_over(self, process: str) -> bool:
        """Another process, by its ``process``, writes no more, for good. Raises ApiError, Unreachable."""
        name = process.partition("/")[0]
        if name == self.name:
            return process != self.process
        if name not in self.alive():
            return await self._is_dead(name)
        try:  # our own watch may be late
            raw = await self._client.get(LEASES, ObjectKey(self._namespace, name))
        except NotFound:
            return False
        return decode_lease(raw)[1].holder != process

    async def leave(self) -> None:
        """Give up everything, for good. Nothing may be worked on any more."""
        for _ in range(ATTEMPTS):
            record = await claims.read(self._client, self._namespace)
            if record.claims.get(self.name) != self._claim:
                break
            left = {name: claim for name, claim in record.claims.items() if name != self.name}
            if await self._write(record, left):
                break
        self.fence.close()
        await self._lease.delete()

    def _still_ours(self, written: Claim | None) -> frozenset[int]:
        if written is None:
            return frozenset()
        if not self._claim.process:
            return written.buckets  # of an earlier process of our name, which is dead
        same = written.process == self._claim.process
        return self.held & written.buckets if same else frozenset()

    def _take(self, claim: Claim) -> None:
        if claim.buckets != self.held:
            shown = buckets.text(claim.buckets) or "none"
            log.info("buckets held", member=self.name, buckets=shown, members=len(self.alive()))
        self._claim, self.held = claim, claim.buckets

    async def _write(self, before: Record, after: Mapping[str, Claim]) -> bool:
        try:
            await claims.write(self._client, self._namespace, before, after)
        except (Conflict, NotFound):
            return False  # another member was faster, or somebody has deleted the record
        return True

    async def _is_dead(self, name: str) -> bool:
        """Look: our own watch may be late. A Lease that is missing is waited for as long as for one."""
        if name in self.alive():
            return False
        key = ObjectKey(self._namespace, name)
        known = self._others.store.get(key)
        try:
            raw = await self._client.get(LEASES, key)
        except NotFound:
            since = self._absent.setdefault(name, self._clock())
            return self._clock() - since >= self._lease_seconds
        self._absent.pop(name, None)
        self._others.store.put(raw)
        return known is not None and self._others.store.get(key) is known

    async def _bury(self, record: Mapping[str, Claim]) -> None:
        """Remove the Leases of the dead whose buckets are all taken."""
        for key, lease in self._others.store.items():
            name = key.name
            if name not in record and name not in self.alive() and await self._is_dead(name):
                await remove(self._client, key, lease.uid)

    async def _renewals(self) -> None:
        while True:
            started = self._clock()
            try:
                await self._lease.renew()
            except (ApiError, Unreachable) as error:
                log.warning("Lease not renewed", member=self.name, reason=str(error))
            else:
                if self._clock() >= self._good_until:
                    self._gaps += 1
                    self._changed()
                self._good_until = started + self._deadline
                if self.fence.is_open:
                    self.fence.open_until(self._good_until)
            await asyncio.sleep(self._pause)

    async def _watch_the_time(self) -> None:
        """Leases expire without an event, ours too."""
        while True:
            if (alive := self.alive()) != self._alive:
                self._alive = alive
                self._note()
            elif not self.fence.is_open or self.share() != self.held:
                self._changed()
            await asyncio.sleep(self._pause / 2)

    def _informers(self, client: Client) -> Iterator[Informer]:
        watched: dict[Resource, Store] = {
            LEASES: self._others.store,
            CONFIG_MAPS: self._record_seen,
        }
        for resource, store in watched.items():
            yield Informer(
                client,
                resource,
                store,
                namespace=self._namespace,
                label_selector=f"{api.COMPONENT_LABEL}={COMPONENT}",
            )

    def _lapse(self) -> None:
        """Begin anew: nothing is written until our claim is."""
        self.fence.close()
        self._gaps += 1
        self._changed()

    def _note(self) -> None:
        self._noted = True
        self._changed()


def _after_exchange(
    before: Mapping[str, Claim], member: str, share: frozenset[int], dead: set[str]
) -> dict[str, Claim]:
    """The record once ``member`` has given up what is not of its share and taken what is free."""
    others = {name: claim for name, claim in before.items() if name != member}
    taken = frozenset[int]().union(*(c.buckets for name, c in others.items() if name not in dead))
    ours = share - taken
    after = {member: Claim(before[member].process, ours)}
    for name, claim in others.items():
        left = claim.buckets - ours if name in dead else claim.buckets
        if left or name not in dead:
            after[name] = Claim(claim.process, left)
    return after
