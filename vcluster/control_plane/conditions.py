"""Conditions and phase of a VirtualCluster. Pure: what was, what is known, and the time go in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from vcluster.api import Condition, Object, Phase

OWNED = (
    Condition.SPEC_VALID,
    Condition.DATASTORE_READY,
    Condition.CONTROL_PLANE_READY,
    Condition.BOOTSTRAPPED,
    Condition.DNS_INSTALLED,
    Condition.DATASTORE_HAS_ROOM,
    Condition.READY,
)
"""The operator's; Syncing is the syncer's, and others may add theirs."""

NEEDED = (Condition.CONTROL_PLANE_READY, Condition.BOOTSTRAPPED)
"""What makes a tenant Ready. It needs no syncer to be a cluster."""


@dataclass(frozen=True, slots=True)
class State:
    """What one condition says."""

    status: bool | None
    reason: str
    message: str = ""

    @classmethod
    def of(cls, condition: Object) -> Self:
        """From the API's form."""
        status = {"True": True, "False": False}.get(condition["status"])
        return cls(status, condition["reason"], condition.get("message", ""))


WAITING = State(None, "Waiting", "Not reached yet")


def states_of(status: Mapping[str, list[Object]]) -> dict[Condition, State]:
    """The operator's own conditions in a status."""
    return {
        Condition(condition["type"]): State.of(condition)
        for condition in status.get("conditions") or []
        if condition["type"] in OWNED
    }


def ready(states: Mapping[Condition, State]) -> State:
    """The condition Ready, from the others: the first that is missing says why."""
    for condition in (Condition.SPEC_VALID, Condition.DATASTORE_READY, *NEEDED):
        state = states.get(condition, WAITING)
        if condition in NEEDED and state.status is not True:
            return State(False, state.reason, state.message)
        if condition not in NEEDED and state.status is False and not _running(states):
            return State(False, state.reason, state.message)
    return State(True, "Ready", "The control plane can be used")


def phase(states: Mapping[Condition, State], *, was_ready: bool, deleting: bool) -> Phase:
    """One word for people."""
    if deleting:
        return Phase.DELETING
    valid = states.get(Condition.SPEC_VALID, WAITING).status
    if ready(states).status:
        return Phase.READY if valid is not False else Phase.DEGRADED
    if was_ready:
        return Phase.DEGRADED
    if valid is False:
        return Phase.FAILED
    return Phase.PROVISIONING if valid else Phase.PENDING


def conditions(
    old: Iterable[Object], states: Mapping[Condition, State], generation: int, now: str
) -> list[Object]:
    """The API's form of our conditions; the transition time moves only with the status."""
    before = {condition["type"]: condition for condition in old}
    merged = []
    for condition in OWNED:
        state = states.get(condition, WAITING)
        status = {True: "True", False: "False", None: "Unknown"}[state.status]
        previous = before.get(condition)
        same = previous is not None and previous["status"] == status
        merged.append(
            {
                "type": str(condition),
                "status": status,
                "reason": state.reason,
                "message": state.message,
                "observedGeneration": generation,
                "lastTransitionTime": previous["lastTransitionTime"] if same and previous else now,
            }
        )
    return merged


def _running(states: Mapping[Condition, State]) -> bool:
    return all(states.get(condition, WAITING).status for condition in NEEDED)
