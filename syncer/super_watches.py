"""The super cluster's informers: of the mirrors in the buckets that are held, and of nothing else.

When the buckets change, what was held stays known and the watches go on from where they were; of the
new buckets the objects are listed; those of lost buckets are forgotten, not taken for deleted (law 6).

Two sorts of kinds differ. Those with hosts are known whole, since a host has one owner among all tenants
and the provider. Optional kinds (``follow``) come when a first tenant asks for them; they may not be
served, so they are listed anew when the buckets change and only the tenants that ask for them wait.
"""

import asyncio
from collections.abc import Callable, Iterator

import structlog

from kube.client import Client
from kube.errors import ApiError, Unreachable
from kube.objects import ObjectKey
from kube.resources import EVENTS, NAMESPACES, PODS
from syncer import buckets
from syncer.entries import Entry, SuperPod
from syncer.kinds import optional_kinds
from syncer.kinds.mirror import UpwardKind
from syncer.runtime.informer import Informer
from syncer.runtime.store import ObjectStore
from syncer.super_state import MASS_KINDS, SuperState
from vcluster import api
from vcluster.sync import Sync

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
CATCH_UP_SECONDS = 1.0
"""For so long the watch of the others' device pods may lag behind before they are listed."""


class SuperWatches:
    """The informers, and which buckets they select.

    ``on_recovery``: called, maybe often, when the super cluster answers after it has failed us; it has to
    hurry those of ``published``, which run outside.
    """

    def __init__(self, client: Client, state: SuperState, on_recovery: Callable[[], None]) -> None:
        self._client = client
        self._on_recovery = on_recovery
        self._state = state
        self._mirrors = {
            plural: Informer(
                client,
                kind.resource,
                state.mirrors[plural],
                metadata_only=plural in MASS_KINDS,
                on_recovery=self._recovered,
            )
            for plural, kind in state.downward.items()
        } | {PODS.plural: Informer(client, PODS, state.pods, on_recovery=self._recovered)}
        own_events = _EventsOfTenants(state.events, state.mirrors[NAMESPACES.plural])
        self._events = Informer(client, EVENTS, own_events)
        self._others_pods = Informer(client, PODS, state.others_pods)
        self.published = [
            self._whole(kind, state.published[plural], optional=False)
            for plural, kind in state.upward.items()
        ]
        """Of the kinds that no tenant owns: they run as long as the syncer does."""
        self._optional: dict[str, Informer] = {}
        self._optional_published: dict[str, Informer] = {}
        self._selected: frozenset[int] = frozenset()
        self._running: list[asyncio.Task[None]] = []

    async def select(self, held: frozenset[int], tasks: asyncio.TaskGroup) -> bool:
        """Follow the mirrors in these buckets. Returns when all of them are known: whether some are new."""
        gained, lost = held - self._selected, self._selected - held
        if not gained and not lost:
            return False
        if held:  # also a list that a running watch may need now
            for plural, informer in (*self._mirrors.items(), *self._optional.items()):
                informer.select(self._selector(plural, held))
        self._drop_others(gained)
        if gained and self._selected:
            await self._take_in(buckets.selector(gained))
        await self._halt()
        self._drop(lost)
        goes_on = held and self._selected
        for informer in self._optional.values() if goes_on else self._informers():
            informer.forget()
            informer.synced.clear()
        self._selected = held
        if held:
            await self._start(tasks)
            await self._follow_others(held, tasks)
        return bool(gained)

    async def catch_up(self, version: int | None) -> int:
        """Wait until the others' device pods are known up to a version (None: all that there are).

        Returns up to which version they are. Raises ApiError, Unreachable.
        """
        if version is not None:
            try:
                async with asyncio.timeout(CATCH_UP_SECONDS):
                    await self._others_pods.reach(version)
            except TimeoutError:
                pass  # that pod may be in a bucket that is ours now
            else:
                return version
        return await self._others_pods.take_in(buckets.others_selector(self._selected))

    def follow(self, options: Sync, tasks: asyncio.TaskGroup) -> None:
        """Follow the kinds that a tenant's options ask for as well. Not to be called during ``select``."""
        down, up = optional_kinds(options)
        for kind in down:
            if (plural := kind.resource.plural) not in self._optional:
                informer = self._optional[plural] = Informer(
                    self._client,
                    kind.resource,
                    self._state.add_downward(kind),
                    label_selector=self._selector(plural, self._selected),
                    optional=True,
                )
                self._running.append(tasks.create_task(informer.run()))
        for shown in up:
            if (plural := shown.resource.plural) not in self._optional_published:
                informer = self._whole(shown, self._state.add_upward(shown), optional=True)
                self._optional_published[plural] = informer
                tasks.create_task(informer.run())

    async def known(self, options: Sync) -> None:
        """Wait until the objects of these kinds, which are followed, are known or not served."""
        down, up = optional_kinds(options)
        for kind in down:
            await self._optional[kind.resource.plural].synced.wait()
        for shown in up:
            await self._optional_published[shown.resource.plural].synced.wait()

    async def _start(self, tasks: asyncio.TaskGroup) -> None:
        """Events come last: whose they are is known by the namespaces."""
        for informer in self._informers():
            if informer is self._events:
                for known in self._mirrors.values():
                    await known.synced.wait()
            self._running.append(tasks.create_task(informer.run()))
        await self._events.synced.wait()

    async def _follow_others(self, held: frozenset[int], tasks: asyncio.TaskGroup) -> None:
        if held == buckets.ALL:
            return
        self._others_pods.select(buckets.others_selector(held))
        self._others_pods.forget()
        self._others_pods.synced.clear()
        self._running.append(tasks.create_task(self._others_pods.run()))
        await self._others_pods.synced.wait()

    async def _take_in(self, label_selector: str) -> None:
        async with asyncio.TaskGroup() as lists:
            for informer in self._mirrors.values():
                lists.create_task(_retried(informer, label_selector))
        await _retried(self._events, "")

    async def _halt(self) -> None:
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _drop_others(self, gained: frozenset[int]) -> None:
        def of_gained(_key: ObjectKey, pod: SuperPod) -> bool:
            return int(api.bucket(pod.tenant)) in gained

        for key, pod in self._state.others_pods.items():
            if of_gained(key, pod):  # listed now as one of ours
                self._state.admission.others_pod(key, None, b"")
        self._state.others_pods.drop(of_gained)

    def _drop(self, lost: frozenset[int]) -> None:
        def of_lost(_key: ObjectKey, entry: Entry | SuperPod) -> bool:
            return bool(entry.tenant) and int(api.bucket(entry.tenant)) in lost

        for key, pod in self._state.pods.items():
            if of_lost(key, pod):  # another member counts what it needs from now on
                self._state.admission.super_pod(key, pod, None, b"")
        self._state.pods.drop(of_lost)
        for plural, store in self._state.mirrors.items():
            if not self._state.downward[plural].hosts:
                store.drop(of_lost)
        namespaces = self._state.mirrors[NAMESPACES.plural]
        self._state.events.drop(
            lambda key, _event: namespaces.get(ObjectKey("", key.namespace)) is None
        )

    def _selector(self, plural: str, held: frozenset[int]) -> str:
        kind = self._state.downward.get(plural)  # pods are none of them
        return "" if kind and kind.hosts else buckets.selector(held)

    def _whole(self, kind: UpwardKind, store: ObjectStore[Entry], *, optional: bool) -> Informer:
        return Informer(
            self._client,
            kind.resource,
            store,
            metadata_only=kind.metadata_only,
            optional=optional,
            on_recovery=self._recovered,
        )

    def _recovered(self) -> None:
        for informer in (*self._informers(), *self._optional_published.values()):
            informer.hurry()
        self._on_recovery()

    def _informers(self) -> Iterator[Informer]:
        yield from self._mirrors.values()
        yield from self._optional.values()
        yield self._events


class _EventsOfTenants:
    """Passes on the Events of the namespaces that are mirrored here; others are not even decoded.

    Events carry no label of ours: their namespace says whose they are.
    """

    def __init__(self, events: ObjectStore[Entry], namespaces: ObjectStore[Entry]) -> None:
        self._events = events
        self._namespaces = namespaces

    def upsert(self, raw: bytes, *, listed: int) -> ObjectKey:
        """See runtime.informer.Store."""
        namespace = _namespace(raw)
        if namespace and self._namespaces.get(ObjectKey("", namespace)) is None:
            return ObjectKey(namespace, "")
        return self._events.upsert(raw, listed=listed)

    def remove(self, raw: bytes) -> None:
        """See runtime.informer.Store."""
        self._events.remove(raw)

    def retain(self, keys: set[ObjectKey], resource_version: int) -> None:
        """See runtime.informer.Store."""
        self._events.retain(keys, resource_version)


_METADATA, _NAMESPACE = b'"metadata":{', b'"namespace":"'


def _namespace(raw: bytes) -> str:
    """An API server writes metadata first, and in it the namespace before anything free; else empty."""
    metadata = raw.find(_METADATA)
    start = raw.find(_NAMESPACE, metadata) + len(_NAMESPACE)
    if metadata < 0 or start < len(_NAMESPACE):
        return ""
    return raw[start : raw.find(b'"', start)].decode()


async def _retried(informer: Informer, label_selector: str) -> None:
    while True:
        try:
            await informer.take_in(label_selector)
        except (ApiError, Unreachable) as error:
            log.info("list interrupted", kind=informer.plural, reason=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
