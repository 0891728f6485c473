"""Changes of a tenant's pod, downward: the few fields that Kubernetes lets change."""

from functools import partial

from kube.client import Patch
from kube.errors import Forbidden, Invalid
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import PODS
from syncer.entries import TenantPod
from syncer.kinds.mirror import Refused
from syncer.kinds.pod import pod_marks
from syncer.kinds.pod_policy import refuse_changes
from syncer.kinds.pod_update import patches
from syncer.reconcilers.messages import tell
from syncer.reconcilers.pod_admission import PodAdmission
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from vcluster import api


class PodChanges:
    """Writes them to super pods that are there."""

    def __init__(self, super_state: SuperState, admission: PodAdmission) -> None:
        self._super = super_state
        self._admission = admission

    async def patch(
        self,
        state: TenantState,
        key: ObjectKey,
        mirror_key: ObjectKey,
        source: TenantPod,
        pod: Object,
        digest: str,
    ) -> None:
        """Write the difference to the super pod. Raises Refused, and the API server's refusals."""
        live = decode_object(await self._super.client.get(PODS, mirror_key))
        marks = {api.DIGEST_ANNOTATION: digest, **pod_marks(pod)}
        refused: Forbidden | Invalid | Refused | None = None
        named = None if source.node else partial(state.named, key, pod)
        for patch in patches(live, pod, state.tenant, self._super.offers, named):
            body = patch.body
            resizes = patch.subresource == "resize"
            if resizes and await self._admission.refuse_growth(state, key, mirror_key, live, pod):
                marks.pop(api.DIGEST_ANNOTATION, None)  # the difference stays visible
                continue
            if not patch.subresource and refused is None:
                annotations = body["metadata"].get("annotations", {}) | marks
                body = body | {"metadata": body["metadata"] | {"annotations": annotations}}
            # One refused part (a debug container, say) must not hold back the others.
            try:
                refuse_changes(live, body, state.tenant)
                answer = await self._super.client.patch(
                    PODS, mirror_key, Patch.STRATEGIC, encode(body), patch.subresource
                )
            except Refused as error:
                await tell(state, PODS, key, source.uid, error.reason, str(error))
                refused = error
            except (Forbidden, Invalid) as error:
                await tell(state, PODS, key, source.uid, "FailedMirror", error.message)
                refused = error
            else:
                self._super.pods.put(answer)
            if resizes:
                self._admission.settle(state, mirror_key)
        if refused is not None:
            raise refused

    async def readiness(self, mirror_key: ObjectKey, pod: Object) -> None:
        """Declared readiness gates are the tenant's to set; the kubelet must see them."""
        gates = {gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()}
        own = [
            condition
            for condition in pod.get("status", {}).get("conditions") or ()
            if condition["type"] in gates
        ]
        live = decode_object(await self._super.client.get(PODS, mirror_key))
        there = live.get("status", {}).get("conditions") or ()
        shown = {condition["type"]: condition.get("status") for condition in there}
        if any(shown.get(condition["type"]) != condition.get("status") for condition in own):
            body = {"metadata": {"uid": live["metadata"]["uid"]}, "status": {"conditions": own}}
            await self._super.client.patch(
                PODS, mirror_key, Patch.STRATEGIC, encode(body), "status"
            )
