"""Whose turn it is to hand out the super cluster's devices: with several members one at a time.

Gangs are granted by counting what is free (docs/decisions/0009). Two members that count at the same time
would both grant the last devices, and both gangs would hang half placed. So a Lease says whose turn it is.
It has no time of its own: it ends when its holder gives it back, or has died by the members' Leases.

Whoever gives the turn back says up to which version of the pods it has seen: the next one first waits
until its own watch has come as far. A member that holds all buckets is alone, and always has the turn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import structlog

from kube.client import Client
from kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from kube.objects import Metadata, Object, ObjectKey, encode
from kube.resources import LEASES
from syncer.entries import Entry, entry_decoder
from syncer.runtime.informer import Informer
from syncer.runtime.store import ObjectStore
from vcluster import api

log = structlog.get_logger(__name__)

COMPONENT = "syncer-devices"
NAME = COMPONENT
SEEN_ANNOTATION = f"{api.PREFIX}pods-seen"
"""Up to which version the last holder had seen the device pods."""
LOOK_SECONDS = 1.0
"""So often it is looked whether the holder has died: that comes without an event on this Lease."""
PAUSE_SECONDS = 0.02
"""After a turn, so that another member gets one."""
GRANTED_SECONDS = 1.0
"""What was granted and of which nothing is sent by then is asked for anew: a tenant that does not answer
must not keep the turn from others."""


class Granting(Protocol):
    """What the turn is for."""

    def turn_came(self) -> None:
        """Grant now what there is room for."""

    def outstanding(self) -> bool:
        """Something that was granted is not seen yet."""

    def take_back(self) -> None:
        """Grant anew, in a later turn, what was granted and of which nothing has been sent."""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    holder_identity: str | None = None


class _Lease(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _Spec = _Spec()


_decode_lease = msgspec.json.Decoder(_Lease).decode


class Turn:
    """One member's side of it.

    ``client`` has to be fenced. ``is_over`` tells whether a process writes no more, for good.
    ``longest_answer``: seconds after which a request has been answered, or never will be.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        process: str,
        is_over: Callable[[str], Awaitable[bool]],
        longest_answer: float,
    ) -> None:
        self.number = 0
        """0: it is not our turn. Else changes whenever others may have granted meanwhile."""
        self._client = client
        self._key = ObjectKey(namespace, NAME)
        self._process = process
        self._is_over = is_over
        self._longest_answer = longest_answer
        self._turns = 0
        self._alone = False
        self._paused = True
        self._pauses = (
            0  # so far: whoever has awaited something sees whether there was one meanwhile
        )
        self._wanted = False
        self._held = False
        self._known_until: int | None = None
        self._writing = asyncio.Lock()
        self._news = asyncio.Event()
        store = ObjectStore[Entry](
            entry_decoder(keep_bytes=False), lambda *_change: self._news.set()
        )
        self.informer = Informer(
            client,
            LEASES,
            store,
            namespace=namespace,
            label_selector=f"{api.COMPONENT_LABEL}={COMPONENT}",
        )

    def want(self) -> None:
        """Something waits for devices."""
        if not self._wanted:
            self._wanted = True
            self._news.set()

    def settled(self) -> None:
        """Something granted has been seen, or will not come."""
        if self._held:
            self._news.set()

    async def pause(self, *, lead: bool) -> None:
        """Grant nothing: buckets are about to change hands, or may have.

        ``lead``: we were alone; nobody else may have a turn before what we have granted is seen.
        Raises ApiError, Unreachable.
        """
        self.number, self._paused, self._alone = 0, True, False
        self._pauses += 1
        self._news.set()
        if lead:
            async with self._writing:
                if not await self._take():
                    raise Unreachable("another member has the turn to hand out devices")

    def resume(self, granting: Granting, *, alone: bool) -> None:
        """Buckets have changed hands, or may have, and of all of ours the pods are known.

        Does nothing unless ``pause`` was called before.
        """
        if not self._paused:
            return
        self._alone, self._paused = alone, False
        self._wanted = self._wanted or (self._held and not alone)  # to give it back
        if alone:
            self._begin(granting)
        self._news.set()

    async def run(
        self,
        granting: Granting,
        seen: Callable[[], int],
        catch_up: Callable[[int | None], Awaitable[int]],
    ) -> None:
        """Take turns until cancelled.

        ``seen``: the newest version of any device pod of ours. ``catch_up`` returns once the others'
        are known up to a version (None: all that there are), and up to which they are.
        """
        while True:
            self._news.clear()
            pauses = self._pauses
            try:
                if self._may_take() and await self._mine():
                    self._wanted = False
                    self._known_until = await catch_up(self._known_until)
                    clean = await self._grant(granting, pauses)
                    self._known_until = max(self._known_until, seen()) if clean else None
                    if self._pauses == pauses:
                        await self._give_back()
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
            except (ApiError, Unreachable) as error:
                self._wanted = True
                if self._pauses == pauses:
                    self.number = 0
                log.info("no turn to hand out devices", reason=str(error))
            await self._news_within(LOOK_SECONDS if self._wanted else None)

    async def leave(self) -> None:
        """Give the turn back, if it is ours: nothing is granted any more. Raises ApiError, Unreachable."""
        await self.pause(lead=False)
        self._wanted, self._known_until = False, None
        await self._give_back()

    def _may_take(self) -> bool:
        return self._wanted and not self._paused and not self._alone

    async def _mine(self) -> bool:
        async with self._writing:
            return await self._take()

    def _begin(self, granting: Granting) -> None:
        self._turns += 1
        self.number = self._turns
        granting.turn_came()

    async def _grant(self, granting: Granting, pauses: int) -> bool:
        """Our turn, until all that was granted is seen; False: of something nothing is known.

        ``pauses``: as many as there were when we took the turn; one more ends it.
        """
        if self._pauses != pauses:
            return False
        self._begin(granting)
        if await self._is_done(granting, pauses, GRANTED_SECONDS):
            return True
        if self._pauses != pauses:
            return False
        self.number = 0
        granting.take_back()
        return await self._is_done(granting, pauses, self._longest_answer)

    async def _is_done(self, granting: Granting, pauses: int, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while granting.outstanding():
            if self._pauses != pauses or loop.time() >= end:
                return False
            self._news.clear()
            await self._news_within(end - loop.time())
        return True

    async def _news_within(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _take(self) -> bool:
        """Write our name into the Lease; False: another member has the turn."""
        try:
            lease = _lease(await self._client.get(LEASES, self._key))
        except NotFound:
            self._known_until = None
            return await self._write(None, self._process)
        holder = lease.spec.holder_identity
        self._held = holder == self._process
        if self._held:
            return True
        if holder and not await self._is_over(holder):
            return False
        self._known_until = _pods_seen(lease.metadata)
        return await self._write(lease.metadata, self._process)

    async def _give_back(self) -> None:
        self.number = 0
        async with self._writing:
            if not self._held:
                return
            lease = _lease(await self._client.get(LEASES, self._key))
            if lease.spec.holder_identity == self._process:
                await self._write(lease.metadata, None)
            self._held = False

    async def _write(self, before: Metadata | None, holder: str | None) -> bool:
        """Replace the Lease; False: others were faster."""
        metadata: dict[str, Any] = {
            "name": self._key.name,
            "namespace": self._key.namespace,
            "labels": {api.COMPONENT_LABEL: COMPONENT},
        }
        if holder is None and self._known_until is not None:
            metadata["annotations"] = {SEEN_ANNOTATION: str(self._known_until)}
        spec = {"holderIdentity": holder} if holder else {}
        lease: Object = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "spec": spec}
        try:
            if before is None:
                await self._client.create(LEASES, self._key, encode(lease | {"metadata": metadata}))
            else:
                metadata |= {"uid": before.uid, "resourceVersion": before.resource_version}
                await self._client.update(LEASES, self._key, encode(lease | {"metadata": metadata}))
        except (AlreadyExists, Conflict, NotFound):
            return False
        self._held = holder is not None
        return True


def _lease(raw: bytes) -> _Lease:
    """Raises Unreachable: whatever answered is no API server."""
    try:
        return _decode_lease(raw)
    except msgspec.MsgspecError as error:
        raise Unreachable("the answer is not a Lease") from error


def _pods_seen(metadata: Metadata) -> int | None:
    """Up to where the last holder had seen the pods; None: it did not say, or has died with the turn."""
    written = metadata.annotations.get(SEEN_ANNOTATION, "")
    return int(written) if written.isdigit() else None
