"""Follows what each tenant keeps in the shared etcd and adds to its history, and switches at the limits.

A watch of each prefix: it costs what the tenant writes, nothing while it is idle, and knows of a write
milliseconds later. The first count reads all values once, page by page.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from kube.connection import Credentials
from kube.errors import Unreachable
from kube.http2.transport import Http2Transport
from kube.transport import Transport
from vcluster.datastore.limits import History, Limits, Share, Standing, added, standing
from vcluster.datastore.messages import BrokenMessage
from vcluster.datastore.prefixes import AnyOf, EtcdError, changes, count

log = structlog.get_logger()

AGAIN_SECONDS = 1.0
LOOK_SECONDS = 0.05
"""Between two looks at what little is written: each write for itself would wake the operator, which
costs more than to read it."""
WINDOW = 2**22
"""Bytes of a tenant's writes that may be under way to us: several of the largest objects, so that a
flood of these is known at once."""
TIME_SECONDS = 0.5
"""Between two looks at those to whom something is refused: what they wrote grows old by itself."""


class Owner(NamedTuple):
    """The VirtualCluster that a share belongs to."""

    namespace: str
    name: str
    uid: str


class Reading(NamedTuple):
    """How a share stands."""

    objects: int
    size: int
    written: int
    """Bytes within the window."""
    standing: Standing


@dataclass(slots=True, eq=False)
class _Followed:
    owner: Owner
    limits: Limits
    history: History
    """Of what we have seen: it goes on when the share is counted again."""
    share: Share | None = None
    standing: Standing | None = None
    """What the tenant's API server was last told by us."""
    wanted: bool = True
    switching: threading.Lock = field(default_factory=threading.Lock)

    @property
    def reading(self) -> Reading | None:
        share, now = self.share, self.standing
        if share is None or now is None:
            return None
        return Reading(share.objects, share.size, self.written, now)

    @property
    def written(self) -> int:
        """Bytes within the window."""
        return self.history.written(time.monotonic())

    def next(self, share: Share) -> Standing:
        """What is to be refused now."""
        return standing(share, self.written, self.limits, self.standing or Standing())


class Shares:
    """``follow``, ``forget`` and ``readings`` may be called from any thread.

    ``switch`` is given a tenant's key and standing, and makes its API server obey: at each change, and
    once after each start, since that of before is not known. It may block, and raise OSError.
    """

    def __init__(
        self,
        credentials: Callable[[], Sequence[Credentials]],
        switch: Callable[[str, Standing], None],
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
            followed = self._followed[key] = _Followed(owner, limits, History(limits.window))
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
        """Until cancelled. ``changed`` is called when a tenant's standing has changed."""
        self._loop = asyncio.get_running_loop()
        source = AnyOf(self._credentials)
        counting = Http2Transport(source)
        following = Http2Transport(source, look_seconds=LOOK_SECONDS, window=WINDOW)
        running: dict[_Followed, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._let_time_pass(changed))
                while True:
                    self._arrived.clear()
                    wanted = {followed: key for key, followed in list(self._followed.items())}
                    for followed in running.keys() - wanted.keys():
                        running.pop(followed).cancel()
                    for followed, key in wanted.items():
                        if followed in running:
                            tasks.create_task(self._weigh(key, followed, changed))
                            continue
                        keeping = self._keep(key, followed, (counting, following), source, changed)
                        running[followed] = tasks.create_task(keeping)
                    await self._arrived.wait()
        finally:
            await counting.close()
            await following.close()

    def _wake(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.set)

    async def _keep(
        self,
        key: str,
        followed: _Followed,
        transports: tuple[Transport, Transport],
        source: AnyOf,
        changed: Callable[[Owner], None],
    ) -> None:
        """Count, then follow; again from the start whenever that breaks."""
        counting, following = transports
        while True:
            try:
                share, revision = await count(counting, key)
                followed.share = share
                await self._weigh(key, followed, changed)
                async for stored in changes(following, key, revision + 1):
                    share.apply(stored)
                    followed.history.add(added(stored), time.monotonic())
                    await self._weigh(key, followed, changed)
            except (Unreachable, EtcdError, BrokenMessage, OSError) as error:
                log.warning("share not followed", tenant=key, error=str(error))
                source.another()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _let_time_pass(self, changed: Callable[[Owner], None]) -> None:
        """Open what only time opens, and try again what could not be switched."""
        while True:
            await asyncio.sleep(TIME_SECONDS)
            for key, followed in list(self._followed.items()):
                if followed.standing != Standing():
                    await self._weigh(key, followed, changed)

    async def _weigh(self, key: str, followed: _Followed, changed: Callable[[Owner], None]) -> None:
        if followed.share is None or followed.next(followed.share) == followed.standing:
            return
        try:
            if await asyncio.to_thread(self._obey, key, followed, followed.share):
                changed(followed.owner)
        except OSError as error:  # the disk is full, say; time brings another look
            log.warning("share not switched", tenant=key, error=str(error))

    def _obey(self, key: str, followed: _Followed, share: Share) -> bool:
        """Whether it was a change. Decided once more behind the lock, so that the newest wins."""
        with followed.switching:
            before, now = followed.standing, followed.next(share)
            if not followed.wanted or now == before:
                return False
            self._switch(key, now)
            followed.standing = now
            if now != (before or Standing()):
                log.info(
                    "share",
                    tenant=key,
                    level=now.level.name,
                    stage=now.stage.name,
                    objects=share.objects,
                    size=share.size,
                    written=followed.written,
                )
        return True
