"""A slow comparison of both sides, page by page, that repairs what was missed.

It only refreshes the stores from whole lists and asks for a look at each difference. Before anything is
destroyed the reconcilers read the live objects of both sides.
"""

from collections.abc import Awaitable, Callable

import msgspec
import structlog

from kube.client import Client
from kube.errors import Forbidden, NotFound
from kube.objects import ObjectKey
from kube.resources import EVENTS, PODS, Resource
from syncer import metrics
from syncer.entries import Entry
from syncer.kinds import pod_status
from syncer.kinds.mirror import digest
from syncer.runtime.store import E, ObjectStore
from syncer.super_state import MASS_KINDS, TOKEN_COMPONENT
from syncer.tenant_state import TenantState
from vcluster import api

log = structlog.get_logger(__name__)

Step = Callable[[TenantState], Awaitable[None]]


class _Status(msgspec.Struct, gc=False):
    status: dict[str, msgspec.Raw] = {}


_decode_status = msgspec.json.Decoder(_Status).decode


async def everything(state: TenantState) -> None:
    """Compare all kinds of one tenant."""
    for plural, downward in list(state.super.downward.items()):
        if not downward.enabled(state.tenant):
            continue
        try:
            await kind(state, plural)
        except (Forbidden, NotFound):
            if not downward.by_definition:
                raise  # else one of the two sides does not serve it at present
    await pods(state)
    for plural, upward in list(state.super.upward.items()):
        if not upward.enabled(state.tenant):
            continue
        for name in state.published_names(plural):
            state.super.up.add(state.request(plural, ObjectKey("", name)))


async def kind(state: TenantState, plural: str) -> None:
    """Compare one kind that goes down."""
    super_state, resource = state.super, state.super.downward[plural].resource
    await _refresh(state.client, state.sources[plural], resource)
    with super_state.history.listed():
        mirrors = super_state.mirrors[plural]
        await _refresh(super_state.client, mirrors, resource, state.tenant.key)
    for key, source in state.sources[plural].items():
        mirror = super_state.mirrors[plural].get(state.mirror_key(plural, key))
        on_demand = super_state.downward[plural].on_demand
        if on_demand and not state.usage.in_use(plural, key):
            continue
        if mirror is None or mirror.source_uid != source.uid:
            super_state.down.add(state.request(plural, key))
    for mirror_key, mirror in super_state.mirrors[plural].items():
        if mirror.tenant != state.tenant.key:
            continue
        if mirror.component == TOKEN_COMPONENT:
            if (pod := state.pods.get(mirror.source)) is None or pod.uid != mirror.source_uid:
                state.renewals[mirror_key] = 0.0  # the renewal looks whether the pod is really gone
            continue
        source_there = state.sources[plural].get(mirror.source) is not None
        if not source_there or not _needed(state, plural, mirror.source):
            metrics.REPAIRS.labels(resource.plural).inc()
            super_state.down.add(state.request(plural, mirror.source))


def _needed(state: TenantState, plural: str, key: ObjectKey) -> bool:
    on_demand = state.super.downward[plural].on_demand
    return not on_demand or state.usage.in_use(plural, key)


async def pods(state: TenantState) -> None:
    """Compare the pods, and whether each tenant pod shows its super pod's status."""
    shown: dict[ObjectKey, str] = {}
    keys: set[ObjectKey] = set()
    version = 0
    async for page in state.client.pages(PODS):
        version = version or int(page.metadata.resource_version)
        for item in page.items or ():
            if (key := _taken_in(state.pods, bytes(item), version)) is not None:
                keys.add(key)
                shown[key] = _canonical(_decode_status(item).status)
    state.pods.retain(keys, version)
    super_state, seen, version = state.super, set[ObjectKey](), 0
    async for page in super_state.client.pages(
        PODS, label_selector=f"{api.TENANT_LABEL}={state.tenant.key}"
    ):
        version = version or int(page.metadata.resource_version)
        for item in page.items or ():
            with super_state.history.listed():
                key = _taken_in(super_state.pods, bytes(item), version)
            if key is not None:
                seen.add(key)
                _compare(state, key, bytes(item), shown)
    super_state.pods.retain(seen, version, lambda pod: pod.tenant == state.tenant.key)
    for key, source in state.pods.items():
        mirror = super_state.pods.get(state.mirror_key(PODS.plural, key))
        if mirror is None or mirror.source_uid != source.uid or source.deleting:
            super_state.down.add(state.request(PODS.plural, key))


def _taken_in(store: ObjectStore[E], raw: bytes, version: int) -> ObjectKey | None:
    """None for an object that we cannot read: it must not keep the others from being compared."""
    try:
        return store.upsert(raw, listed=version)
    except (msgspec.MsgspecError, ValueError):
        log.exception("object set aside")
        return None


def _compare(
    state: TenantState, mirror_key: ObjectKey, raw: bytes, shown: dict[ObjectKey, str]
) -> None:
    super_state = state.super
    mirror = super_state.pods.get(mirror_key)
    if mirror is None:
        return
    source = state.pods.get(mirror.source)
    request = state.request(PODS.plural, mirror.source)
    if source is None or source.uid != mirror.source_uid:
        super_state.down.add(request)
        return
    view = pod_status.decode(raw)
    if int(view.metadata.resource_version) != mirror.version:
        return  # the watch is ahead of this list
    wanted = pod_status.to_tenant(
        view,
        qos=source.qos,
        namespace=mirror.source.namespace,
        own_conditions={},
        claims=source.claims,
    )
    bound = source.node or not mirror.node
    if bound and not source.gated and _canonical_bytes(wanted) == shown.get(mirror.source):
        mirror.reported = mirror.status
        super_state.newest.pop(mirror_key, None)
    else:
        metrics.REPAIRS.labels(PODS.plural).inc()
        if not source.gated:  # whose own conditions always differ
            mirror.reported = 0  # though it was written once, somebody has overwritten it
        super_state.newest[mirror_key] = raw
        super_state.up.add(request)


async def events(state: TenantState) -> None:
    """After a start: which events have gone up already. Those that have not go up now."""
    async for page in state.client.pages(EVENTS, metadata_only=True):
        for item in page.items or ():
            head = msgspec.json.decode(item, type=_Marked).metadata
            if api.UID_ANNOTATION in head.annotations:
                state.mirrored_events[ObjectKey(head.namespace, head.name)] = ""
    for key in state.super.events.keys():
        owner = state.super.owner_of(key.namespace)
        if owner and owner[0] is state:
            source = ObjectKey(owner[1], key.name)
            if source not in state.mirrored_events:
                state.super.up.add(state.request(EVENTS.plural, source))


class _MarkedMetadata(msgspec.Struct, gc=False):
    name: str
    namespace: str = ""
    annotations: dict[str, str] = {}


class _Marked(msgspec.Struct, gc=False):
    metadata: _MarkedMetadata


async def _refresh(
    client: Client, store: ObjectStore[Entry], resource: Resource, tenant: str = ""
) -> None:
    """Bring a store to what a whole list says; of one tenant only, in the super cluster."""
    keys: set[ObjectKey] = set()
    version = 0
    async for page in client.pages(
        resource,
        label_selector=f"{api.TENANT_LABEL}={tenant}" if tenant else "",
        metadata_only=resource.plural in MASS_KINDS,
    ):
        version = version or int(page.metadata.resource_version)
        found = (_taken_in(store, bytes(item), version) for item in page.items or ())
        keys.update(key for key in found if key is not None)
    store.retain(keys, version, lambda entry: not tenant or entry.tenant == tenant)


def _canonical(status: dict[str, msgspec.Raw]) -> str:
    return _canonical_bytes(msgspec.json.encode(status))


def _canonical_bytes(status: bytes) -> str:
    return digest(msgspec.json.decode(status))
