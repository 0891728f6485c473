"""A super pod, upward: binding, status, and its end."""

from datetime import UTC, datetime

import structlog

from kube.client import Patch
from kube.errors import Conflict, Invalid, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import NODES, PODS
from syncer.entries import SuperPod, TenantPod
from syncer.kinds import pod_status
from syncer.kinds.pod_status import SuperPodView
from syncer.reconcilers import tokens
from syncer.reconcilers.named_node import NamedNode
from syncer.reconcilers.placed_above import awaits_another, is_elsewhere
from syncer.reconcilers.preemption import Preemption
from syncer.reconcilers.published import PublishedReconciler
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from vcluster import api

log = structlog.get_logger(__name__)

DISRUPTED = "DisruptionTarget"


class PodUpward:
    """Reconciles one pod; see docs/architecture.md for its life step by step."""

    def __init__(self, super_state: SuperState, published: PublishedReconciler) -> None:
        self._super = super_state
        self._published = published
        self._preemption = Preemption(super_state)
        self._named_node = NamedNode(super_state, published)

    async def reconcile(self, state: TenantState, key: ObjectKey) -> None:
        """Bring the tenant's pod to what the super pod says."""
        mirror_key = state.mirror_key(PODS.plural, key)
        source = state.pods.get(key)
        mirror = self._super.pods.get(mirror_key)
        if source is None:
            self._super.newest.pop(mirror_key, None)
            if mirror is not None or mirror_key in self._super.gone:
                self._super.down.add(state.request(PODS.plural, key))  # what is left down there
            return
        if mirror is None and awaits_another(state, key, source):
            self._super.down.add(state.request(PODS.plural, key))
        elif mirror is None:
            await self._gone(state, key, mirror_key, source)
        elif mirror.deleting and state.anew.is_removed(mirror):
            return
        elif mirror.source_uid == source.uid and mirror.tenant == state.tenant.key:
            self._super.gone.pop(mirror_key, None)
            await self._report(state, key, mirror_key, source, mirror)
            if not (mirror.node or mirror.deleting or source.deleting):
                await self._preemption.consider(state, key, source)

    async def _report(
        self,
        state: TenantState,
        key: ObjectKey,
        mirror_key: ObjectKey,
        source: TenantPod,
        mirror: SuperPod,
    ) -> None:
        found = await self._view(mirror_key, mirror)
        if found is None:
            return
        mirror, view = found
        if await self._named_node.rejects(state, key, source, mirror, view):
            return
        self._heed_scheduler(state, key, mirror, view)
        if mirror.node and not source.node and not source.deleting:
            await self._bind(state, key, source, mirror.node)
        if mirror.node and is_elsewhere(source, mirror):
            self._super.down.add(state.request(PODS.plural, key))
            return
        if source.node and not source.deleting:
            await tokens.provide_planned(self._super, state, key, source.uid)
        if (source.scheduled or not mirror.node) and pod_status.says_only_scheduled(view.status):
            mirror.reported = mirror.status  # the tenant's API server itself has said so
        if mirror.status != mirror.reported and not (
            source.finished and not _ends(view)  # a status that is late never brings back to life
        ):
            shown = mirror.status
            if not await self._write_status(state, key, source, view):
                return
            mirror.reported = shown
        if mirror.deleting and not source.deleting:
            # Evicted, preempted or drained in the super cluster: as on any node, the pod terminates.
            await self._delete(state, key, source, mirror.grace)

    def _heed_scheduler(
        self, state: TenantState, key: ObjectKey, mirror: SuperPod, view: SuperPodView
    ) -> None:
        """The nodes with enough of the tenant's own resources, of which the pod was told, do not suit it."""
        unplaced = state.own_nodes.room and not mirror.node
        if (
            unplaced
            and pod_status.unschedulable(view.status)
            and state.own_nodes.room.is_stuck(key)
        ):
            self._super.down.add(state.request(PODS.plural, key))

    async def _view(
        self, mirror_key: ObjectKey, mirror: SuperPod
    ) -> tuple[SuperPod, SuperPodView] | None:
        """The super pod's newest state that is known; None: there is nothing to tell."""
        raw = self._super.newest.pop(mirror_key, b"")
        if not raw:
            if mirror.status == mirror.reported and not mirror.deleting:
                return None
            try:
                raw = await self._super.client.get(PODS, mirror_key)
            except NotFound:
                return None  # its DELETED event is on the way
            # Taken in, so that an older event that is still on the way is not told after it.
            taken = self._super.pods.put(raw)
            if taken is None or taken.uid != mirror.uid:
                return None
            mirror, raw = taken, self._super.newest.pop(mirror_key, raw)
        view = pod_status.decode(raw)
        return (mirror, view) if view.metadata.uid == mirror.uid else None

    async def _bind(self, state: TenantState, key: ObjectKey, source: TenantPod, node: str) -> None:
        state.use_node(node, key)
        if state.copies[NODES.plural].get(ObjectKey("", node)) is None:
            await self._published.reconcile(state, NODES.plural, node)
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": source.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await state.client.create(PODS, key, encode(body), "binding")
        except (Conflict, NotFound):
            # Bound before a restart, or replaced: look at what the pod is now.
            found = await self._look(state, key)
            if found is None or found.uid != source.uid or not found.node:
                raise
            if found.node != node:  # by a scheduler of the tenant's
                state.leave_node(node, key)
                node = found.node
        source.node = node
        source.scheduled = True

    async def _look(self, state: TenantState, key: ObjectKey) -> TenantPod | None:
        try:
            return state.pods.put(await state.client.get(PODS, key)) or state.pods.get(key)
        except NotFound:
            return None

    async def _write_status(
        self, state: TenantState, key: ObjectKey, source: TenantPod, view: SuperPodView
    ) -> bool:
        own: dict[str, Object] = {}
        if source.gated or source.disrupted:
            own = await self._own_conditions(state, key)
            if DISRUPTED in own and pod_status.has_condition(view.status, DISRUPTED):
                del own[DISRUPTED]
        body = pod_status.to_tenant(
            view,
            qos=source.qos,
            namespace=key.namespace,
            own_conditions=own,
            claims=source.claims,
        )
        return await self._put_status(state, key, source, body)

    async def _put_status(
        self, state: TenantState, key: ObjectKey, source: TenantPod, body: bytes
    ) -> bool:
        test = encode({"op": "test", "path": "/metadata/uid", "value": source.uid})
        patch = b'[%s,{"op":"add","path":"/status","value":%s}]' % (test, body)
        try:
            await state.client.patch(PODS, key, Patch.JSON, patch, "status")
        except NotFound:
            return False
        except Invalid:
            found = await self._look(state, key)
            if found is not None and found.uid == source.uid:
                raise
            return False  # another pod of the same name; its own events see to it
        return True

    async def _own_conditions(self, state: TenantState, key: ObjectKey) -> dict[str, Object]:
        try:
            pod = decode_object(await state.client.get(PODS, key))
        except NotFound:
            return {}
        own = {gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()}
        own.add(DISRUPTED)  # written by an eviction through the tenant's API server
        return {
            condition["type"]: condition
            for condition in pod.get("status", {}).get("conditions") or ()
            if condition["type"] in own
        }

    async def _gone(
        self, state: TenantState, key: ObjectKey, mirror_key: ObjectKey, source: TenantPod
    ) -> None:
        """There is no super pod. Its last state, if we saw it, is written before the end."""
        if source.removed:
            self._super.gone.pop(mirror_key, None)
            return
        if await self._named_node.ends(state, key, source):
            return
        last = self._super.gone.get(mirror_key)
        view = pod_status.decode(last.raw) if last else None
        seen = view is not None and _source_uid(view) == source.uid
        if not seen:
            if not (source.scheduled or source.deleting):
                if not source.finished:  # somebody in the tenant says so of a pod that never ran
                    self._super.down.add(state.request(PODS.plural, key))
                return
            if await self._exists(mirror_key, source.uid):
                self._super.up.add(state.request(PODS.plural, key))
                return
        told = last is not None and last.reported
        if view is not None and seen and not told and not (source.finished and not _ends(view)):
            await self._write_last_status(state, key, source, view)
        ended = source.finished or (view is not None and seen and _ends(view))
        if not source.deleting and not ended:
            # Had the tenant asked for it, our watch may be late: it would be told a wrong reason.
            live = await self._look(state, key)
            if live is not None and live.uid == source.uid and not live.deleting:
                await self._write_vanished(state, key, source)
        await self._remove(state, key, source)
        self._super.gone.pop(mirror_key, None)

    async def _remove(self, state: TenantState, key: ObjectKey, source: TenantPod) -> None:
        """Take the tenant's pod away: what comes of it by its watch concerns nobody any more."""
        source.removed = True
        try:
            await self._delete(state, key, source, 0)
        except BaseException:
            for pod in (source, state.pods.get(key)):
                if pod is not None and pod.uid == source.uid:
                    pod.removed = False
            raise
        if (current := state.pods.get(key)) is not None and current.uid == source.uid:
            current.removed = True

    async def _write_last_status(
        self, state: TenantState, key: ObjectKey, source: TenantPod, view: SuperPodView
    ) -> None:
        try:
            await self._write_status(state, key, source, view)
        except Invalid as error:  # no reason to leave the pod terminating for ever
            log.warning("last status refused", tenant=state.tenant.key, reason=error.message)

    async def _exists(self, mirror_key: ObjectKey, uid: str) -> bool:
        """Law 6: a cache that lacks the super pod proves nothing; ask."""
        try:
            raw = await self._super.client.get(PODS, mirror_key)
        except NotFound:
            return False
        if self._super.pods.read(raw).source_uid != uid:
            return False
        return self._super.take_in_pod(raw) is not None

    async def _write_vanished(self, state: TenantState, key: ObjectKey, source: TenantPod) -> None:
        """Owners replace a pod that failed; DisruptionTarget tells them that it was not its fault."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": DISRUPTED,
            "status": "True",
            "reason": "DeletionBySuperCluster",
            "message": "The pod was removed from the cluster that runs it",
            "lastTransitionTime": now,
        }
        status = {"phase": "Failed", "reason": "Evicted", "conditions": [condition]}
        body = {"metadata": {"uid": source.uid}, "status": status}
        try:
            await state.client.patch(PODS, key, Patch.STRATEGIC, encode(body), "status")
        except (NotFound, Conflict, Invalid):
            pass  # gone, or another one of the same name

    async def _delete(
        self, state: TenantState, key: ObjectKey, source: TenantPod, grace: int | None
    ) -> None:
        try:
            await state.client.delete(PODS, key, uid=source.uid, grace_period_seconds=grace)
        except (NotFound, Conflict):
            pass  # gone, or another one of the same name


def _ends(view: SuperPodView) -> bool:
    return bytes(view.status.get("phase", b"")) in (b'"Succeeded"', b'"Failed"')


def _source_uid(view: SuperPodView) -> str:
    return view.metadata.annotations.get(api.UID_ANNOTATION, "")
