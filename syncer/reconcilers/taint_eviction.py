"""Evicts a tenant's pods from nodes by the tenant's own NoExecute taints.

As kube-controller-manager's taint-eviction-controller does, which is not run for tenants: it would evict
by the provider's taints too, be they tolerated below or long gone (docs/decisions/0017).
"""

import time

from kube.client import Patch
from kube.errors import Conflict, NotFound
from kube.objects import ObjectKey, decode_object, encode
from kube.resources import PODS
from syncer.entries import TenantPod
from syncer.kinds.node_taints import Taint, leaves_at
from syncer.own_nodes import Leave
from syncer.reconcilers.messages import tell
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from vcluster import api

EVENT = "TaintManagerEviction"
REASON, MESSAGE = "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
"""What owners of pods (a Job's podFailurePolicy) expect to read."""
NEVER = float("inf")


class TaintEviction:
    """One for all tenants; what is planned is in the tenant's state, and planned anew after a restart."""

    def __init__(self, super_state: SuperState) -> None:
        self._super = super_state

    async def consider(self, state: TenantState, key: ObjectKey) -> None:
        """Evict the pod if its time on its node is over; come back when it will be."""
        source, leave = state.pods.get(key), state.own_nodes.leaving.get(key)
        if source is None or source.deleting or (leave is not None and leave.uid != source.uid):
            state.own_nodes.leaving.pop(key, None)
            leave = None
        if source is None or source.deleting or source.removed:
            return
        taints = state.own_nodes.evicting(source.node)
        if taints:
            leave = await self._planned(state, key, source, taints, leave)
        elif leave is not None:
            await self._call_off(state, key, leave)
            return
        if leave is None or leave.due == NEVER:
            return
        if (left := leave.due - time.monotonic()) > 0:
            self._super.up.add_after(state.request(PODS.plural, key), left)
        else:
            await self._evict(state, key, source)

    async def _planned(
        self,
        state: TenantState,
        key: ObjectKey,
        source: TenantPod,
        taints: tuple[Taint, ...],
        known: Leave | None,
    ) -> Leave | None:
        """When the pod has to leave; it is read only if it or its node says something new."""
        if known is not None and (known.mutable, known.taints) == (source.mutable, taints):
            return known
        try:
            pod = decode_object(await state.client.get(PODS, key))
        except NotFound:
            return None
        if pod["metadata"]["uid"] != source.uid:
            return None
        now, before = time.monotonic(), known.since if known is not None else {}
        since = {taint: before.get(taint, now) for taint in taints}
        due = leaves_at(pod["spec"].get("tolerations") or (), since)
        leave = Leave(source.uid, source.mutable, taints, since, due)
        if known is not None and known.due != NEVER and due == NEVER:
            await self._call_off(state, key, known)
        state.own_nodes.leaving[key] = leave
        return leave

    async def _call_off(self, state: TenantState, key: ObjectKey, leave: Leave) -> None:
        if leave.due != NEVER:
            message = f"Cancelling deletion of Pod {key}"
            await tell(state, PODS, key, leave.uid, EVENT, message, "Normal")
        state.own_nodes.leaving.pop(key, None)

    async def _evict(self, state: TenantState, key: ObjectKey, source: TenantPod) -> None:
        await tell(state, PODS, key, source.uid, EVENT, f"Marking for deletion Pod {key}", "Normal")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": REASON,
            "message": MESSAGE,
            "lastTransitionTime": api.now(),
        }
        body = {"metadata": {"uid": source.uid}, "status": {"conditions": [condition]}}
        try:
            answer = await state.client.patch(PODS, key, Patch.STRATEGIC, encode(body), "status")
            state.pods.put(answer)  # so that a status which comes up at this moment keeps it
            await state.client.delete(PODS, key, uid=source.uid)
        except (NotFound, Conflict):
            pass  # gone, or another one of the same name
