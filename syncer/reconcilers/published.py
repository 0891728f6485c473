"""Cluster-scoped kinds of the super cluster that tenants see: nodes, classes, their own volumes."""

from collections.abc import Sequence

from kube.client import Patch
from kube.errors import AlreadyExists, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import NODES, PODS
from syncer.entries import Entry
from syncer.kinds.mirror import Link, Recreate, UpwardKind, Write, is_marked
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState


class PublishedReconciler:
    """Brings a tenant's copy of one object to what the super cluster says."""

    def __init__(self, super_state: SuperState) -> None:
        self._super = super_state

    async def reconcile(self, state: TenantState, plural: str, name: str) -> None:
        """An object that the tenant made itself is never touched: it has no mark of ours."""
        kind, key = self._super.upward[plural], state.copy_key(plural, name)
        copy = state.copies[plural].get(key)
        if copy is not None and not copy.source_uid:
            return
        if not kind.enabled(state.tenant):
            return
        wanted = await self._wanted(state, kind, name, copy)
        if wanted is None:
            in_use = copy is not None and await self._node_in_use(state, kind, name)
            if copy is not None and not kind.kept and not in_use:
                await self._delete(state, kind, key, await self._live(state, kind, key, copy))
            return
        wanted = wanted | {"metadata": wanted["metadata"] | {"name": key.name}}
        if copy is None:
            await self._create(state, kind, key, name, wanted)
        else:
            live = await self._live(state, kind, key, copy)
            await self._update(state, kind, key, live, wanted)

    async def _live(
        self, state: TenantState, kind: UpwardKind, key: ObjectKey, copy: Entry
    ) -> Object:
        """The tenant's copy; of a large kind it has to be read."""
        return decode_object(copy.raw or await state.client.get(kind.resource, key))

    async def _wanted(
        self, state: TenantState, kind: UpwardKind, name: str, copy: Entry | None
    ) -> Object | None:
        key = ObjectKey("", name)
        entry = self._super.published[kind.resource.plural].get(key)
        if entry is None:
            return None
        used_only = kind.resource is NODES and state.tenant.nodes_mode == "used"
        # One that the tenant has said something of would come back without it, a cordon for example.
        if used_only and not (name in state.nodes_in_use or state.own_nodes.speak_of(name)):
            return None
        try:
            source = decode_object(entry.raw or await self._super.client.get(kind.resource, key))
        except NotFound:
            return None
        if kind.node is not None and not _sees(state, kind.node(source)):
            return None  # we come back when the tenant sees the node
        shown = kind.to_tenant(source, state.tenant)
        if kind.link is None or shown is None:
            return shown
        kept = copy if copy is not None and copy.source_uid == entry.uid else None
        return self._linked(state, kind.link, source, shown, kept)

    async def _node_in_use(self, state: TenantState, kind: UpwardKind, name: str) -> bool:
        """Before a node goes for want of pods: a pod may be bound to it that we do not know of yet."""
        if kind.resource is not NODES or state.tenant.nodes_mode != "used":
            return False
        if self._super.published[NODES.plural].get(ObjectKey("", name)) is None:
            return False  # the node itself is gone
        selector = f"spec.nodeName={name}"
        async for page in state.client.pages(PODS, field_selector=selector, limit=1):
            for item in page.items or ():
                state.pods.put(bytes(item))  # if it is news, the node counts as used from now on
                return True
        return False

    def _linked(
        self, state: TenantState, link: Link, source: Object, shown: Object, copy: Entry | None
    ) -> Object | None:
        """The object, naming the tenant's object; None if it names none of this tenant's."""
        target = link.target(source)
        if target is None:
            return None
        mirror = self._super.mirrors[link.resource.plural].get(target.key)
        if mirror is not None and mirror.uid == target.uid:
            if mirror.tenant != state.tenant.key:
                return None
            return link.replaced(shown, mirror.source, mirror.source_uid)
        # The mirror is gone and the object is kept: the tenant goes on seeing it as it was.
        before = link.target(decode_object(copy.raw)) if copy is not None else None
        if before is None or state.mirror_key(link.resource.plural, before.key) != target.key:
            return None
        return link.replaced(shown, *before)

    async def _create(
        self, state: TenantState, kind: UpwardKind, key: ObjectKey, name: str, wanted: Object
    ) -> None:
        plural = kind.resource.plural
        try:
            answer = await state.client.create(kind.resource, key, encode(wanted))
        except AlreadyExists:
            answer = await state.client.get(kind.resource, key)
        state.copies[plural].put(answer)
        live = decode_object(answer)
        if state.copy_key(plural, name) != key:
            self._super.up.add(state.request(plural, ObjectKey("", name)))  # the name was taken
            return
        # Admission adds to what we asked for: a new node gets the taint not-ready.
        await self._update(state, kind, key, live, wanted)
        if kind.link is not None and is_marked(live) and (owner := kind.link.target(wanted)):
            # What the object belongs to has waited for it to be there.
            self._super.up.add(state.request(kind.link.resource.plural, owner.key))

    async def _update(
        self, state: TenantState, kind: UpwardKind, key: ObjectKey, live: Object, wanted: Object
    ) -> None:
        try:
            writes = kind.patch(live, wanted)
        except Recreate:
            await self._delete(state, kind, key, live)
            return  # its DELETED event brings us back
        await self._write(state, kind, key, live, writes)

    async def _write(
        self,
        state: TenantState,
        kind: UpwardKind,
        key: ObjectKey,
        live: Object,
        writes: Sequence[Write],
    ) -> None:
        uid = live["metadata"]["uid"]
        for write in writes:
            patch = write.patch | {"metadata": write.patch.get("metadata", {}) | {"uid": uid}}
            answer = await state.client.patch(
                kind.resource, key, Patch.MERGE, encode(patch), write.subresource
            )
            state.copies[kind.resource.plural].put(answer)

    async def _delete(
        self, state: TenantState, kind: UpwardKind, key: ObjectKey, live: Object
    ) -> None:
        try:
            if kind.released is not None:
                await self._write(state, kind, key, live, kind.released(live))
            if "deletionTimestamp" not in live["metadata"]:
                await state.client.delete(kind.resource, key, uid=live["metadata"]["uid"])
        except NotFound:
            pass


def _sees(state: TenantState, node: str) -> bool:
    copy = state.copies[NODES.plural].get(ObjectKey("", node))
    return copy is not None and bool(copy.source_uid)
