"""Cluster-scoped kinds of the super cluster that tenants see: nodes and classes."""

from kube.client import Patch
from kube.errors import AlreadyExists, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import NODES
from syncer.kinds.mirror import Recreate, UpwardKind
from syncer.super_state import UPWARD_KINDS, SuperState
from syncer.tenant_state import TenantState


class PublishedReconciler:
    """Brings a tenant's copy of one object to what the super cluster says."""

    def __init__(self, super_state: SuperState) -> None:
        self._super = super_state

    async def reconcile(self, state: TenantState, plural: str, name: str) -> None:
        """An object that the tenant made itself is never touched: it has no mark of ours."""
        kind, key = UPWARD_KINDS[plural], ObjectKey("", name)
        copy = state.copies[plural].get(key)
        wanted = self._wanted(state, kind, key)
        if copy is not None and not copy.source_uid:
            return
        if wanted is None:
            if copy is not None:
                await self._delete(state, kind, key, copy.uid)
        elif copy is None:
            try:
                answer = await state.client.create(kind.resource, key, encode(wanted))
            except AlreadyExists:
                answer = await state.client.get(kind.resource, key)
            state.copies[plural].put(answer)
            # Admission adds to what we asked for: a new node gets the taint not-ready.
            await self._update(state, kind, key, decode_object(answer), wanted)
        else:
            await self._update(state, kind, key, decode_object(copy.raw), wanted)

    def _wanted(self, state: TenantState, kind: UpwardKind, key: ObjectKey) -> Object | None:
        entry = self._super.published[kind.resource.plural].get(key)
        if entry is None:
            return None
        used_only = kind.resource is NODES and state.tenant.nodes_mode == "used"
        if used_only and key.name not in state.nodes_in_use:
            return None
        return kind.to_tenant(decode_object(entry.raw), state.tenant)

    async def _update(
        self, state: TenantState, kind: UpwardKind, key: ObjectKey, live: Object, wanted: Object
    ) -> None:
        uid = live["metadata"]["uid"]
        try:
            writes = kind.patch(live, wanted)
        except Recreate:
            await self._delete(state, kind, key, uid)
            return  # its DELETED event brings us back
        for write in writes:
            patch = write.patch | {"metadata": write.patch.get("metadata", {}) | {"uid": uid}}
            answer = await state.client.patch(
                kind.resource, key, Patch.MERGE, encode(patch), write.subresource
            )
            state.copies[kind.resource.plural].put(answer)

    async def _delete(self, state: TenantState, kind: UpwardKind, key: ObjectKey, uid: str) -> None:
        try:
            await state.client.delete(kind.resource, key, uid=uid)
        except NotFound:
            pass
