"""List, then watch, for ever: keeps a store in step with one kind at one API server."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

import msgspec
import structlog

from kube.client import Client
from kube.errors import ApiError, Forbidden, Gone, NotFound, ServerError, Unreachable
from kube.objects import Metadata, ObjectKey
from kube.resources import Resource
from syncer.runtime.history import HistoryLost
from syncer.runtime.rest import Rest

log = structlog.get_logger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0
NOT_SERVED_DELAY = 2.0
"""Between two looks whether an optional kind is served by now, in seconds."""
SHORT_WATCH = 1.0
"""A server that ends watches sooner than this, in seconds, is not asked again at once."""


class Store(Protocol):
    """What an informer keeps in step. Calls come in the order of the server's versions."""

    def upsert(self, raw: bytes, *, listed: int) -> ObjectKey:
        """An object is as it is in these bytes.

        ``listed``: the version of the list that it comes from; 0 if it comes from a watch. Raises
        HistoryLost.
        """

    def remove(self, raw: bytes) -> None:
        """An object was deleted; these bytes are its last state."""

    def retain(self, keys: set[ObjectKey], resource_version: int) -> None:
        """A whole list held just these keys: others no newer than the list are gone."""


class Informer:
    """One kind at one API server.

    ``on_recovery``: called when the server answers after it has failed us, every ten seconds at most.
    An ``optional`` kind need not be served, or to us, and may come to be at any time: while it is not,
    the informer counts as synced, and takes nothing for deleted.

    Lists are consistent reads, so their versions only grow: ``run``, ``relist`` and ``take_in`` raise
    HistoryLost if one is older than what was seen before.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        store: Store,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        optional: bool = False,
        on_relist: Callable[[], None] = lambda: None,
        on_recovery: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._resource = resource
        self._store = store
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._metadata_only = metadata_only
        self._optional = optional
        self._on_relist = on_relist
        self._on_recovery = on_recovery
        self._watched_from = ""
        self._last_seen = b""
        self._progress = asyncio.Event()
        self._newest = 0
        self._rest = Rest()
        self._told = float("-inf")
        self.synced = asyncio.Event()

    @property
    def plural(self) -> str:
        """The kind, as in paths."""
        return self._resource.plural

    async def run(self) -> None:
        """Keep the store in step until cancelled. Run again, it goes on from where it was."""
        version, delay, broken = self._version_seen, FIRST_DELAY, False
        while True:
            try:
                if version and broken:
                    version = await self._still_reached(version)
                if not version:
                    version = await self.relist()
                    self.synced.set()
                    self._on_relist()
                if broken:
                    self._tell_recovery()
                started, broken = time.monotonic(), False
                version = await self._follow(version)
                if time.monotonic() - started > SHORT_WATCH:
                    delay = FIRST_DELAY
                    continue
                reason = "the watch was ended at once"
            except Gone as error:
                self.forget()
                reason = str(error)
            except (ApiError, Unreachable) as error:
                if _from_the_future(error):
                    self.forget()
                reason, broken = str(error), True
                if self._optional and isinstance(error, NotFound | Forbidden):
                    self.forget()
                    delay = NOT_SERVED_DELAY
                    self.synced.set()
            version = self._version_seen
            log.info("watch interrupted", kind=self._resource.plural, reason=reason)
            await self._rest.take(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 2, LONGEST_DELAY)

    def hurry(self) -> None:
        """There is reason to believe that the server answers now: ask it without waiting any longer."""
        self._rest.hurry()

    def _tell_recovery(self) -> None:
        """Not too often: a server that lists, and refuses watches, would have us all try without a rest."""
        now = time.monotonic()
        if now - self._told > LONGEST_DELAY:
            self._told = now
            self._on_recovery()

    async def _still_reached(self, version: str) -> str:
        """The version, if the server has come so far; empty if it has forgotten, and must be listed.

        A server that was restored from a backup accepts a watch from a version that it does not have
        yet, and is silent until it has: what it writes before is never told.
        """
        pages = self._client.pages(
            self._resource, namespace=self._namespace, limit=1, metadata_only=True
        )
        async with aclosing(pages):
            async for page in pages:
                if int(page.metadata.resource_version) >= int(version):
                    return version
                break
        self.forget()
        return ""

    def select(self, label_selector: str) -> None:
        """List and watch these objects from the next ``run`` on; what was kept of others stays."""
        self._label_selector = label_selector

    def forget(self) -> None:
        """List anew in the next ``run``, instead of watching from where it was."""
        self._newest = max(self._newest, int(self._version_seen or 0))
        self._watched_from, self._last_seen = "", b""

    async def relist(self) -> str:
        """Bring the store to what a whole list says; the list's version."""
        keys, version = await self._list(self._label_selector)
        self._store.retain(keys, int(version))
        return version

    async def take_in(self, label_selector: str) -> int:
        """List these objects into the store, which may hold others besides; nothing is removed.

        The watch that goes on from an older version repeats what the store then passes over. Returns the
        list's version.
        """
        return int((await self._list(label_selector))[1])

    async def reach(self, version: int) -> None:
        """Wait until the watch has told of something as new as this."""
        while int(self._version_seen or 0) < version:
            self._progress.clear()
            await self._progress.wait()

    async def _list(self, label_selector: str) -> tuple[set[ObjectKey], str]:
        keys: set[ObjectKey] = set()
        version, newest = "", self._newest
        async for page in self._client.pages(
            self._resource,
            namespace=self._namespace,
            label_selector=label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
        ):
            version = version or page.metadata.resource_version
            if int(version) < newest:
                msg = f"{self.plural}: version {newest} was seen, and a new list has {version}"
                raise HistoryLost(msg)
            for item in page.items or ():
                if key := self._upsert(bytes(item), int(version)):
                    keys.add(key)
            await asyncio.sleep(0)  # a long list must not stop the other tenants
        self._newest = max(newest, int(version))
        return keys, version

    async def _follow(self, version: str) -> str:
        self._watched_from, self._last_seen = version, b""
        self._progress.set()
        async for events in self._client.watch(
            self._resource,
            version,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
        ):
            for event in events:
                if event.type == "DELETED":
                    self._remove(event.object)
                elif event.type != "BOOKMARK":
                    self._upsert(event.object, 0)
            self._last_seen = events[-1].object
            self._progress.set()
        return self._version_seen

    @property
    def _version_seen(self) -> str:
        """Read from the last event only when it is needed: hardly ever."""
        if not self._last_seen:
            return self._watched_from
        try:
            return _version(self._last_seen)
        except msgspec.MsgspecError:
            return ""  # not to be trusted any further: list anew

    def _upsert(self, raw: bytes, listed: int) -> ObjectKey | None:
        try:
            return self._store.upsert(raw, listed=listed)
        except HistoryLost:
            raise
        except Exception:
            # One object that we cannot read must not keep the others from being seen.
            log.exception("object set aside", kind=self._resource.plural)
            return None

    def _remove(self, raw: bytes) -> None:
        try:
            self._store.remove(raw)
        except Exception:
            log.exception("object set aside", kind=self._resource.plural)


def _from_the_future(error: Exception) -> bool:
    """The server has less history than we have seen: it was restored from a backup, say."""
    return isinstance(error, ServerError) and "Too large resource version" in error.message


class _Versioned(msgspec.Struct, gc=False):
    metadata: Metadata


_decode_versioned = msgspec.json.Decoder(_Versioned).decode


def _version(raw: bytes) -> str:
    return _decode_versioned(raw).metadata.resource_version
