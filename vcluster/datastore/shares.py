"""Follows what each tenant keeps in the shared etcd, and switches when it reaches a level.

A watch of each prefix: it costs what the tenant writes, nothing while it is idle, and knows of a write
milliseconds later. The first count reads all values once, page by page.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from kube.connection import Credentials
from kube.errors import Unreachable
from kube.http2.transport import Http2Transport
from kube.transport import Transport
from vcluster.datastore import messages
from vcluster.datastore.limits import Level, Limits, Share, level
from vcluster.datastore.messages import BrokenMessage, Messages, Page, Stored
from vcluster.datastore.shared import prefix, prefix_end

log = structlog.get_logger()

HEADERS = {"content-type": "application/grpc", "te": "trailers"}
REQUEST_SECONDS = 10.0
PAGE = 32
"""Objects of a page: at most 1.5 MiB each."""
AGAIN_SECONDS = 1.0


class Owner(NamedTuple):
    """The VirtualCluster that a share belongs to."""

    namespace: str
    name: str
    uid: str


class Reading(NamedTuple):
    """How a share stands."""

    objects: int
    size: int
    level: Level


class EtcdError(Exception):
    """etcd did not answer as asked."""


@dataclass(slots=True, eq=False)
class _Followed:
    owner: Owner
    limits: Limits
    share: Share | None = None
    level: Level | None = None
    """What the tenant's API server was last told by us."""
    wanted: bool = True
    switching: threading.Lock = field(default_factory=threading.Lock)

    @property
    def reading(self) -> Reading | None:
        share, now = self.share, self.level
        return Reading(share.objects, share.size, now) if share and now is not None else None


class Shares:
    """``follow``, ``forget`` and ``readings`` may be called from any thread.

    ``switch`` is given a tenant's key and level, and makes its API server obey: at each change, and
    once after each start, since the level of before is not known. It may block, and raise OSError.
    """

    def __init__(
        self,
        credentials: Callable[[], Sequence[Credentials]],
        switch: Callable[[str, Level], None],
    ) -> None:
        self._credentials = credentials
        self._switch = switch
        self._followed: dict[str, _Followed] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Event()

    def follow(self, key: str, owner: Owner, limits: Limits) -> Reading | None:
        """Follow the tenant's share from now on. How it stands; None while it is not counted."""
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = _Followed(owner, limits)
            self._wake()
        elif followed.limits != limits:
            followed.limits = limits
            self._wake()
        return followed.reading

    def forget(self, key: str) -> None:
        """Follow it no more. When this returns, ``switch`` is not called for it any more."""
        followed = self._followed.pop(key, None)
        if followed is not None:
            with followed.switching:
                followed.wanted = False
            self._wake()

    def readings(self) -> dict[str, Reading]:
        """All shares that are counted, by the tenants' keys."""
        found = {key: followed.reading for key, followed in list(self._followed.items())}
        return {key: reading for key, reading in found.items() if reading is not None}

    async def run(self, changed: Callable[[Owner], None]) -> None:
        """Until cancelled. ``changed`` is called when a tenant's level has changed."""
        self._loop = asyncio.get_running_loop()
        source = _AnyOf(self._credentials)
        transport = Http2Transport(source)
        running: dict[_Followed, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._arrived.clear()
                    wanted = {followed: key for key, followed in list(self._followed.items())}
                    for followed in running.keys() - wanted.keys():
                        running.pop(followed).cancel()
                    for followed, key in wanted.items():
                        if followed in running:
                            tasks.create_task(self._weigh(key, followed, changed))
                            continue
                        keeping = self._keep(key, followed, transport, source, changed)
                        running[followed] = tasks.create_task(keeping)
                    await self._arrived.wait()
        finally:
            await transport.close()

    def _wake(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def _keep(
        self,
        key: str,
        followed: _Followed,
        transport: Transport,
        source: "_AnyOf",
        changed: Callable[[Owner], None],
    ) -> None:
        """Count, then follow; again from the start whenever that breaks."""
        while True:
            try:
                share, revision = await _count(transport, key)
                followed.share = share
                await self._weigh(key, followed, changed)
                async for stored in _changes(transport, key, revision + 1):
                    share.apply(stored)
                    await self._weigh(key, followed, changed)
            except (Unreachable, EtcdError, BrokenMessage, OSError) as error:
                log.warning("share not followed", tenant=key, error=str(error))
                source.another()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _weigh(self, key: str, followed: _Followed, changed: Callable[[Owner], None]) -> None:
        if followed.share is None or not _differs(followed, followed.share):
            return
        if await asyncio.to_thread(self._obey, key, followed, followed.share):
            changed(followed.owner)

    def _obey(self, key: str, followed: _Followed, share: Share) -> bool:
        """Whether it was a change. Decided once more behind the lock, so that the newest wins."""
        with followed.switching:
            before = followed.level
            if not followed.wanted or not _differs(followed, share):
                return False
            now = level(share, followed.limits, before or Level.OPEN)
            self._switch(key, now)
            followed.level = now
            if now is not (before or Level.OPEN):
                log.info(
                    "share", tenant=key, level=now.name, objects=share.objects, size=share.size
                )
        return now is not before


class _AnyOf:
    """A kube.connection.CredentialSource: one endpoint, and another one when that fails."""

    def __init__(self, credentials: Callable[[], Sequence[Credentials]]) -> None:
        self._read = credentials
        self._known: Sequence[Credentials] = ()
        self._index = 0

    def current(self) -> Credentials:
        """Raises OSError if they cannot be read."""
        if not self._known:
            self._known = self._read()
        return self._known[self._index % len(self._known)]

    def another(self) -> None:
        """Go to the next one, if there are several."""
        self._index += 1


def _differs(followed: _Followed, share: Share) -> bool:
    before = followed.level
    return before is None or level(share, followed.limits, before) is not before


async def _count(transport: Transport, key: str) -> tuple[Share, int]:
    """All of a tenant's share, and as of which revision."""
    share, revision, more = Share(), 0, True
    start, end = prefix(key).encode(), prefix_end(key).encode()
    while more:
        page = await _page(transport, messages.range_request(start, end, PAGE, revision))
        revision = revision or page.revision
        share.apply(page.stored)
        more = page.more
        if more:
            start = page.stored[-1].key + b"\0"
    return share, revision


async def _page(transport: Transport, request: bytes) -> Page:
    answer = await transport.request("POST", messages.RANGE, HEADERS, request, REQUEST_SECONDS)
    for message in Messages().feed(answer.body):
        return messages.page(message)
    raise EtcdError(f"etcd gives no answer to a range (HTTP status {answer.status})")


async def _changes(transport: Transport, key: str, revision: int) -> AsyncIterator[list[Stored]]:
    """What is stored and deleted from a revision on. Raises EtcdError when etcd ends it."""
    start, end = prefix(key).encode(), prefix_end(key).encode()
    request = messages.watch_request(start, end, revision)
    arriving = Messages()
    async with transport.stream(messages.WATCH, HEADERS, REQUEST_SECONDS, body=request) as stream:
        async for chunk in stream.chunks():
            for message in arriving.feed(chunk):
                found = messages.changes(message)
                if found.ended:
                    raise EtcdError(f"the watch has ended: {found.ended}")
                yield found.stored
    raise EtcdError("the watch has ended")
