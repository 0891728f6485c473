"""The members' Leases: our own is renewed, those of the others show who lives."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from kube.client import Client
from kube.errors import AlreadyExists, Conflict, NotFound, Unreachable
from kube.objects import Metadata, ObjectKey, encode
from kube.resources import LEASES
from syncer.membership.fence import Clock
from syncer.runtime.store import ObjectStore
from vcluster import api

COMPONENT = "syncer"


class Displaced(Exception):
    """Another process goes by our name: two members must never have one name."""


class MemberLease(msgspec.Struct, gc=False):
    """What is known of a member's Lease."""

    uid: str
    version: int
    holder: str
    """The process: its member's name and a part that no other process has."""
    seconds: int
    """How long the member counts as alive after a renewal."""
    seen: float = 0.0
    """When this version was first seen here, by our own clock: others' clocks are not trusted."""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str = ""
    lease_duration_seconds: int = 0


class _Lease(msgspec.Struct):
    metadata: Metadata
    spec: _Spec = _Spec()


_decode_lease = msgspec.json.Decoder(_Lease).decode


def decode_lease(raw: bytes) -> tuple[ObjectKey, MemberLease]:
    """The entry of a Lease. Raises Unreachable: whatever answered is no API server."""
    try:
        lease = _decode_lease(raw)
    except msgspec.MsgspecError as error:
        raise Unreachable("the answer is not a Lease") from error
    metadata, spec = lease.metadata, lease.spec
    return ObjectKey(metadata.namespace, metadata.name), MemberLease(
        uid=metadata.uid,
        version=int(metadata.resource_version),
        holder=spec.holder_identity,
        seconds=spec.lease_duration_seconds,
    )


class Others:
    """The Leases of all members, and when each was last seen to be renewed."""

    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self.store = ObjectStore[MemberLease](decode_lease, self._note)

    def alive(self) -> set[str]:
        """The names of the members whose Lease has not expired."""
        now = self._clock()
        return {key.name for key, lease in self.store.items() if now - lease.seen < lease.seconds}

    def _note(
        self,
        _key: ObjectKey,
        before: MemberLease | None,
        after: MemberLease | None,
        _raw: bytes,
        _own: bool,
    ) -> None:
        if after is not None:
            after.seen = self._clock()
        if before is None or after is None:
            self._changed()


class OwnLease:
    """Our own Lease. ``client`` must not be fenced: renewing is what opens the fence."""

    def __init__(self, client: Client, key: ObjectKey, holder: str, seconds: int) -> None:
        self._client = client
        self._key = key
        self._holder = holder
        self._seconds = seconds
        self._known: MemberLease | None = None
        self._since = _now()

    async def renew(self) -> None:
        """Renew or make it. Raises ApiError, Unreachable, Displaced.

        The first time it is taken from an earlier process of our name, which must be dead.
        """
        if self._known is None:
            await self._take()
            return
        try:
            await self._update(self._known)
        except (Conflict, NotFound):  # which of them a deleted Lease is answered by differs
            await self._renew_what_there_is()

    async def _renew_what_there_is(self) -> None:
        try:
            live = await self._read()
        except NotFound:
            await self._create()
            return
        if live.holder != self._holder:
            msg = f"the Lease {self._key} is held by another process, {live.holder!r}"
            raise Displaced(msg)
        await self._update(live)

    async def delete(self) -> None:
        """We leave."""
        if self._known is not None:
            await remove(self._client, self._key, self._known.uid)

    async def _take(self) -> None:
        try:
            await self._create()
        except AlreadyExists:
            await self._update(await self._read())

    async def _create(self) -> None:
        self._known = _entry(await self._client.create(LEASES, self._key, self._body()))

    async def _read(self) -> MemberLease:
        return _entry(await self._client.get(LEASES, self._key))

    async def _update(self, known: MemberLease) -> None:
        body = self._body(resourceVersion=str(known.version), uid=known.uid)
        self._known = _entry(await self._client.update(LEASES, self._key, body))

    def _body(self, **identity: str) -> bytes:
        metadata: dict[str, Any] = {
            "name": self._key.name,
            "namespace": self._key.namespace,
            "labels": {api.COMPONENT_LABEL: COMPONENT},
            **identity,
        }
        spec = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": self._seconds,
            "acquireTime": self._since,
            "renewTime": _now(),
        }
        lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata}
        return encode(lease | {"spec": spec})


async def remove(client: Client, key: ObjectKey, uid: str) -> None:
    """Delete a Lease; it may be gone already."""
    try:
        await client.delete(LEASES, key, uid=uid)
    except (NotFound, Conflict):
        pass


def _entry(raw: bytes) -> MemberLease:
    return decode_lease(raw)[1]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
