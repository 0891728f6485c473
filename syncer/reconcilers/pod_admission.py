"""Asks whether a pod may go down now, and tells the tenant why it may not."""

from datetime import UTC, datetime

from kube.client import Patch
from kube.errors import Conflict, Invalid, NotFound
from kube.objects import Object, ObjectKey, encode
from kube.quantities import quantity
from kube.resources import PODS
from syncer.admission import candidates as holds
from syncer.admission.candidates import INCOMPLETE_SECONDS, Candidate, Hold
from syncer.admission.ledger import Item, describe
from syncer.admission.nodes import Wanted, placement
from syncer.admission.pod_usage import devices, on_nodes, pod_usage, requested, unnamed
from syncer.kinds.mirror import Refused
from syncer.reconcilers.gang_owners import gang_of
from syncer.reconcilers.messages import tell
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from vcluster import api


class PodAdmission:
    """One for all tenants. Pods without quota, gang and devices pass at the cost of a few look-ups."""

    def __init__(self, super_state: SuperState) -> None:
        self._super = super_state
        self._admission = super_state.admission

    async def candidate(
        self, state: TenantState, key: ObjectKey, mirror_key: ObjectKey, pod: Object, wanted: Object
    ) -> Candidate | None:
        """What there is to admit, if anything; marks the wanted super pod. Raises Refused."""
        ledger = self._admission.ledgers.get(state.tenant.key)
        asked = devices(wanted)
        gang = await gang_of(state, pod, scarce=ledger is not None or bool(asked))
        if ledger is None and not asked and gang is None:
            return None
        if ledger is not None and (missing := unnamed(wanted, ledger.hard)):
            raise Refused(
                "spec.containers[].resources",
                holds.OVER_QUOTA,
                f"your quota limits these, so every container must name them: {missing}",
            )
        overhead = self._super.overhead_of(wanted["spec"].get("runtimeClassName"))
        extended = self._admission.extended_resources
        marks = wanted["metadata"]["annotations"]
        if gang is not None:
            marks[api.GANG_MARK_ANNOTATION] = gang.mark
        room = None
        if asked:
            marks[api.DEVICES_ANNOTATION] = " ".join(sorted(asked))
            wanted["metadata"]["labels"][api.DEVICES_LABEL] = "true"
            room = Wanted(on_nodes(requested(wanted, overhead)), placement(wanted["spec"]))
        return Candidate(
            request=state.request(PODS.plural, key),
            mirror=mirror_key,
            uid=pod["metadata"]["uid"],
            priority=pod["spec"].get("priority") or 0,
            created=pod["metadata"].get("creationTimestamp") or "",
            usage=pod_usage(wanted, overhead, extended) if ledger is not None else {},
            wanted=room,
            gang=gang,
            weight=state.tenant.weight,
        )

    async def admit(self, state: TenantState, key: ObjectKey, candidate: Candidate) -> bool:
        """False: the pod waits, the tenant is told why, and the pod is asked for when it may go."""
        hold = self._admission.ask(candidate)
        if hold is None:
            return True
        if hold.reason == holds.NOT_OUR_TURN:
            return False  # for a moment
        if hold.reason == holds.INCOMPLETE and not self._admission.is_late(candidate.request):
            self._super.down.add_after(candidate.request, INCOMPLETE_SECONDS)
            return False
        short = sorted(hold.shortage.wanted) if hold.shortage else []
        said = " ".join([candidate.uid, hold.reason, *short])
        if state.held.get(key) != said:
            message = _message(hold, candidate)
            await _show_condition(state, key, candidate.uid, hold.reason, message)
            await tell(state, PODS, key, candidate.uid, hold.reason, message)
            state.held[key] = said
        return False

    async def refuse_growth(
        self, state: TenantState, key: ObjectKey, mirror_key: ObjectKey, live: Object, pod: Object
    ) -> bool:
        """Reserve for a resize of a super pod; True: the quota has no room, and the tenant knows."""
        if state.tenant.key not in self._admission.ledgers:
            return False
        request, item = state.request(PODS.plural, key), Item(PODS.plural, mirror_key)
        grown = pod | {"status": live.get("status") or {}}
        usage = pod_usage(grown, live["spec"].get("overhead"), self._admission.extended_resources)
        short = self._admission.claim(request, item, usage)
        if short is None:
            return False
        self._admission.unclaim(request)
        message = f"spec.containers[].resources: resize refused: {describe(short)}"
        await tell(state, PODS, key, pod["metadata"]["uid"], holds.OVER_QUOTA, message)
        return True

    def settle(self, state: TenantState, mirror_key: ObjectKey) -> None:
        """It is known what became of a resize."""
        self._admission.settle(state.tenant.key, Item(PODS.plural, mirror_key))


def _message(hold: Hold, candidate: Candidate) -> str:
    gang = candidate.gang
    who = f"the gang of {gang.size} pods waits" if gang and gang.size > 1 else "the pod waits"
    if hold.shortage is not None:
        return f"{who} for quota: {describe(hold.shortage)}"
    if hold.reason == holds.INCOMPLETE and gang is not None:
        return f"{who} for all of its pods: {hold.present} of {gang.size} are there"
    free = ", ".join(
        f"{quantity(amount)} {name}" for name, amount in sorted((hold.free or {}).items())
    )
    if hold.reason == holds.TOO_LARGE:
        return f"{who}: no set of nodes has room for all of it at once; free now: {free or 'none'}"
    return f"{who} until there is room for all of it at once; free now: {free or 'none'}"


async def _show_condition(
    state: TenantState, key: ObjectKey, uid: str, reason: str, message: str
) -> None:
    """As a scheduler would: PodScheduled is False. The super pod's status replaces it later."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    body = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
    try:
        await state.client.patch(PODS, key, Patch.STRATEGIC, encode(body), "status")
    except (NotFound, Conflict, Invalid):
        pass  # gone, or another one of the same name
