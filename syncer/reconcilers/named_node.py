"""Pods that name their node themselves, where the node cannot take them: they fail, as by a kubelet.

The super pod asks for the node, it is not put there: that would go round the scheduler's accounts. So the
scheduler is the one that finds it does not fit (docs/decisions/0018).
"""

from kube.client import Patch
from kube.errors import Conflict, Invalid, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import NODES, PODS
from syncer.admission.rejection import Rejection, rejection
from syncer.entries import SuperPod, TenantPod
from syncer.kinds import pod_status
from syncer.kinds.pod_status import SuperPodView
from syncer.reconcilers.messages import tell
from syncer.reconcilers.published import PublishedReconciler
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from vcluster import api


class NamedNode:
    """One for all tenants."""

    def __init__(self, super_state: SuperState, published: PublishedReconciler) -> None:
        self._super = super_state
        self._published = published

    async def rejects(
        self,
        state: TenantState,
        key: ObjectKey,
        source: TenantPod,
        mirror: SuperPod,
        view: SuperPodView,
    ) -> bool:
        """Remove the super pod and fail the tenant's, if a kubelet of its node would reject it.

        In this order: the super pod only as it is known, without a node, so nothing of it can have run.
        What is lost on the way begins anew with a super pod.
        """
        if mirror.node:
            state.rejected.pop(key, None)  # an attempt to remove it has failed
        if mirror.node or mirror.deleting or not _waits_for_its_node(source, mirror):
            return False
        said = pod_status.unschedulable(view.status)
        why = await self._why(state, key, source, said) if said else None
        if why is None:
            return False
        state.anew.remove(mirror.uid)  # its end is not the end of the tenant's pod
        state.rejected[key] = source.uid, why
        try:
            await self._super.client.delete(
                PODS, state.mirror_key(PODS.plural, key), uid=mirror.uid, version=mirror.version
            )
        except NotFound:
            pass  # removed already, by an attempt whose answer was lost
        except Conflict:
            state.anew.keep(mirror.uid)
            state.rejected.pop(key, None)
            raise
        self._super.admission.withdraw(state.request(PODS.plural, key))
        return await self.ends(state, key, source)

    async def ends(self, state: TenantState, key: ObjectKey, source: TenantPod) -> bool:
        """Write that the pod was rejected, if it was."""
        why = state.rejection_of(key, source.uid)
        if why is None:
            return False
        status = {
            "phase": "Failed",
            "reason": why.reason,
            "message": f"Pod was rejected: {why.message}",
            "startTime": api.now(),
            "observedGeneration": source.generation,
            "conditions": [{"type": "PodScheduled", "$patch": "delete"}],
        }
        body = {"metadata": {"uid": source.uid}, "status": status}
        try:
            answer = await state.client.patch(PODS, key, Patch.STRATEGIC, encode(body), "status")
        except (NotFound, Conflict, Invalid):
            pass  # gone, or another one of the same name
        else:
            state.pods.put(answer)
            await tell(state, PODS, key, source.uid, why.reason, why.message)
        state.rejected.pop(key, None)
        return True

    async def _why(
        self, state: TenantState, key: ObjectKey, source: TenantPod, said: str
    ) -> Rejection | None:
        """As the kubelet does before it rejects, look at pod and node as they are now."""
        node = ObjectKey("", source.node)
        there = self._super.published[NODES.plural].get(node)
        if there is None:
            return None
        if state.copies[NODES.plural].get(node) is None:
            await self._published.reconcile(state, NODES.plural, source.node)
        copy = state.copies[NODES.plural].get(node)
        if copy is None or not copy.source_uid:
            return None  # it is not shown to the tenant: what it names does not exist
        try:
            pod = decode_object(await state.client.get(PODS, key))
            seen = decode_object(await state.client.get(NODES, node))
        except NotFound:
            return None
        # The labels that the tenant sees; what the node has is for the provider's node to say.
        seen["status"] = decode_object(there.raw).get("status")
        return rejection(said, pod, seen) if _is_still(pod, source) else None


def _waits_for_its_node(source: TenantPod, mirror: SuperPod) -> bool:
    """The tenant has named the node itself, or bound the pod to it."""
    named = bool(source.node) and source.node == mirror.asked
    return named and not (source.finished or source.deleting)


def _is_still(pod: Object, source: TenantPod) -> bool:
    metadata = pod["metadata"]
    return metadata["uid"] == source.uid and "deletionTimestamp" not in metadata
