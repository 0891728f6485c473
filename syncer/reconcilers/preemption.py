"""Lets pods of a tenant give way to a more important pod of the same tenant.

The scheduler does not do it (the super pods' PriorityClass says Never): its preemption knows no tenants.
So pods are chosen and evicted here, as the scheduler would, and the room is kept for the pod that needs
it by ``status.nominatedNodeName``, which the scheduler respects (docs/decisions/0016).
"""

from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import NamedTuple

from kube.client import Patch
from kube.errors import Conflict, Invalid, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.quantities import NANOS
from kube.resources import POD_DISRUPTION_BUDGETS, PODS
from syncer.admission.nodes import NodeRoom, Wanted, placement, selects, suits
from syncer.admission.pod_usage import requested
from syncer.admission.precedence import Nomination
from syncer.admission.victims import Occupant, Plan, best, only_needs_room, plan
from syncer.entries import TenantPod
from syncer.reconcilers.messages import tell
from syncer.runtime.one_by_one import OneByOne
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from vcluster import api

AGAIN_SECONDS, AGAIN_AT_MOST = 10.0, 160.0
"""How long after a look the pod is looked at again if it still has no node: each time twice as long."""
BETWEEN_SECONDS = 0.5
"""Between two pods of one tenant: looking costs the super cluster a list of each node's pods."""
MOST_NODES = 10
"""So many nodes are looked at for one pod."""
REASON = "PreemptionByScheduler"
"""What owners of pods (a Job's podFailurePolicy) expect to read of a pod that gave way."""


class _Place(NamedTuple):
    """A pod that looks for room."""

    key: ObjectKey
    mirror_key: ObjectKey
    mirror_uid: str
    source: TenantPod
    wanted: Wanted
    nominated: str


class Preemption:
    """One for all tenants; looks at one pod of each tenant at a time."""

    def __init__(self, super_state: SuperState) -> None:
        self._super = super_state
        self._turns = OneByOne(BETWEEN_SECONDS, super_state.up.add)

    async def consider(self, state: TenantState, key: ObjectKey, source: TenantPod) -> None:
        """The super pod has no node: make room for it if the scheduler has found none."""
        if not source.preempts or not state.precedence.outranks(source.priority):
            return
        request = state.request(PODS.plural, key)
        if not self._turns.begin(request):
            return
        try:
            looked = await self._look(state, key, source)
        finally:
            self._turns.end(request)
        if looked:
            again = min(AGAIN_SECONDS * 2.0 ** (state.precedence.looked(key) - 1), AGAIN_AT_MOST)
            self._super.up.add_after(request, again)

    async def _look(self, state: TenantState, key: ObjectKey, source: TenantPod) -> bool:
        """False: it does not look for room at present."""
        mirror_key = state.mirror_key(PODS.plural, key)
        try:
            pod = decode_object(await self._super.client.get(PODS, mirror_key))
        except NotFound:
            return False
        metadata, spec = pod["metadata"], pod["spec"]
        of_source = (metadata.get("annotations") or {}).get(api.UID_ANNOTATION) == source.uid
        if not of_source or not _finds_no_place(pod) or not only_needs_room(spec):
            return False
        amounts, where = requested(pod, spec.get("overhead")) | {"pods": NANOS}, placement(spec)
        if (own := state.own_nodes.room.get(key)) is not None:
            # Of the tenant's own resources the super pod says nothing but the nodes that have some left.
            amounts, where = {**amounts, **own.amounts}, own.where or where
        wanted = Wanted(amounts, where)
        nominated = pod["status"].get("nominatedNodeName", "")
        place = _Place(key, mirror_key, metadata["uid"], source, wanted, nominated)
        found = best([made async for made in self._plans(state, place)])
        if found is not None and (found.victims or (found.waits and found.node != nominated)):
            await self._carry_out(state, place, found)
        return True

    async def _plans(self, state: TenantState, place: _Place) -> AsyncIterator[Plan]:
        guards = list(self._guards(state))
        for node in islice(self._nodes(state, place), MOST_NODES):
            occupants = [one async for one in self._occupants(state, place, node.name, guards)]
            promised = [
                nomination.amounts
                for key, nomination in self._promised(state)
                if nomination.node == node.name and key != place.key
            ]
            promised += state.own_nodes.room.coming(node.name, but=place.key)
            if (made := plan(place.wanted, node, occupants, promised)) is not None:
                yield made

    def _nodes(self, state: TenantState, place: _Place) -> Iterator[NodeRoom]:
        """Where pods of the tenant run that may give way: those with the least important one first."""
        lowest: dict[str, int] = {}
        pods = state.pods.values()
        state.precedence.lowest_is(min((pod.priority for pod in pods), default=None))
        for pod in pods:
            if pod.node and not pod.finished and pod.priority < place.source.priority:
                lowest[pod.node] = min(pod.priority, lowest.get(pod.node, pod.priority))
        for name in sorted(lowest, key=lambda name: (lowest[name], name)):
            room = state.own_nodes.real(name)
            if room is not None and suits(room, place.wanted.placement):
                own = state.own_nodes.room.capacity(name)
                yield room._replace(allocatable={**own, **room.allocatable})

    async def _occupants(
        self, state: TenantState, place: _Place, node: str, guards: list[tuple[str, Object]]
    ) -> AsyncIterator[Occupant]:
        async for page in self._super.client.pages(PODS, field_selector=f"spec.nodeName={node}"):
            for item in page.items or ():
                pod = decode_object(bytes(item))
                if pod["status"].get("phase") not in ("Succeeded", "Failed"):
                    yield self._occupant(state, place.source.priority, pod, guards)

    def _occupant(
        self, state: TenantState, priority: int, pod: Object, guards: list[tuple[str, Object]]
    ) -> Occupant:
        metadata = pod["metadata"]
        key = ObjectKey(metadata["namespace"], metadata["name"])
        amounts = requested(pod, pod["spec"].get("overhead")) | {"pods": NANOS}
        mirror = self._super.pods.get(key)
        own = mirror is not None and mirror.tenant == state.tenant.key
        source = state.pods.get(mirror.source) if mirror is not None and own else None
        if source is None or mirror is None or source.uid != mirror.source_uid:
            return Occupant(key, metadata["uid"], amounts)
        labels = metadata.get("labels") or {}
        if (held := state.own_nodes.room.get(mirror.source)) is not None:
            amounts = {**amounts, **held.amounts}
        return Occupant(
            key=key,
            uid=metadata["uid"],
            amounts=amounts,
            source=mirror.source,
            source_uid=mirror.source_uid,
            priority=source.priority if source.priority < priority else None,
            since=pod["status"].get("startTime") or metadata["creationTimestamp"],
            leaving="deletionTimestamp" in metadata,
            guarded=any(
                namespace == key.namespace and selects(selector, labels)
                for namespace, selector in guards
            ),
        )

    def _guards(self, state: TenantState) -> Iterator[tuple[str, Object]]:
        """Namespace and selector of the tenant's disruption budgets that have nothing to give."""
        for key, entry in self._super.mirrors[POD_DISRUPTION_BUDGETS.plural].items():
            if entry.tenant == state.tenant.key:
                budget = decode_object(entry.raw)
                if not (budget.get("status") or {}).get("disruptionsAllowed"):
                    yield key.namespace, (budget.get("spec") or {}).get("selector") or {}

    def _promised(self, state: TenantState) -> Iterator[tuple[ObjectKey, Nomination]]:
        """The rooms that pods have been given and do not hold yet."""
        for key, nomination in state.precedence.nominations():
            mirror = self._super.pods.get(state.mirror_key(PODS.plural, key))
            if mirror is None or mirror.node:
                state.precedence.settled(key)
            else:
                yield key, nomination

    async def _carry_out(self, state: TenantState, place: _Place, found: Plan) -> None:
        """Keep the room first: else whoever comes by takes it."""
        body = {
            "metadata": {"uid": place.mirror_uid},
            "status": {"nominatedNodeName": found.node},
        }
        try:
            await self._super.client.patch(
                PODS, place.mirror_key, Patch.MERGE, encode(body), "status"
            )
        except (NotFound, Conflict, Invalid):
            return  # gone, or another one of the same name
        state.precedence.nominate(place.key, Nomination(found.node, place.wanted.amounts))
        state.own_nodes.room.keep(place.key, found.node)
        # All of them before anybody is told: a tenant that does not answer must not leave half of it done.
        evicted = [victim for victim in found.victims if await self._evict(victim)]
        for victim in evicted:
            await self._tell(state, place, victim, found.node)

    async def _evict(self, victim: Occupant) -> bool:
        """False: it is gone already, or another one of the same name."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": REASON,
            "message": "preempting to accommodate a higher priority pod",
            "lastTransitionTime": api.now(),
        }
        body = {"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}}
        try:
            await self._super.client.patch(
                PODS, victim.key, Patch.STRATEGIC, encode(body), "status"
            )
            await self._super.client.delete(PODS, victim.key, uid=victim.uid)
        except (NotFound, Conflict, Invalid):
            return False
        return True

    async def _tell(self, state: TenantState, place: _Place, victim: Occupant, node: str) -> None:
        message = f"Preempted by pod {place.source.uid} on node {node}"
        await tell(state, PODS, victim.source, victim.source_uid, "Preempted", message, "Normal")


def _finds_no_place(pod: Object) -> bool:
    """The scheduler has tried, and says so."""
    return not pod["spec"].get("nodeName") and any(
        condition["type"] == "PodScheduled"
        and condition["status"] == "False"
        and condition.get("reason") == "Unschedulable"
        for condition in pod["status"].get("conditions") or ()
    )
