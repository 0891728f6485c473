"""Which pods of a tenant give way to another pod of the same tenant. Pure.

The rules of the scheduler's own preemption (pkg/scheduler/framework/preemption of Kubernetes 1.37), for
pods that only need room on a node: the fewest and least important pods go, and those that a disruption
budget protects only if nothing else helps.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kube.objects import Object, ObjectKey
from syncer.admission.nodes import NodeRoom, Wanted, take
from syncer.admission.pod_usage import Usage

LOWEST_PRIORITY = -(2**31)


class Occupant(NamedTuple):
    """A pod that has room on a node."""

    key: ObjectKey
    uid: str
    amounts: Usage
    source: ObjectKey = ObjectKey("", "")
    """The tenant's pod, if it is of the tenant concerned."""
    source_uid: str = ""
    priority: int | None = None
    """None: it may not give way, for it is another tenant's, or as important."""
    since: str = ""
    leaving: bool = False
    guarded: bool = False
    """A disruption budget that has nothing to give selects it."""


class Plan(NamedTuple):
    """How a pod gets room on a node."""

    node: str
    victims: tuple[Occupant, ...]
    waits: bool
    """Some of the room is that of pods which leave already."""


def only_needs_room(spec: Object) -> bool:
    """Where the pod may run is said by its node selection and by what nodes have left.

    Of pods that depend on others, on volumes, on claimed devices or on host ports it is not known what
    would help them: pods could be evicted in vain.
    """
    affinity = spec.get("affinity") or {}
    others = ("podAffinity", "podAntiAffinity")
    if any((affinity.get(kind) or {}).get(_REQUIRED) for kind in others):
        return False
    if spec.get("resourceClaims"):
        return False
    spread = spec.get("topologySpreadConstraints") or ()
    if any(item.get("whenUnsatisfiable") != "ScheduleAnyway" for item in spread):
        return False
    volumes = spec.get("volumes") or ()
    if any("persistentVolumeClaim" in item or "ephemeral" in item for item in volumes):
        return False
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    return not any(port.get("hostPort") for item in containers for port in item.get("ports") or ())


def plan(
    wanted: Wanted, node: NodeRoom, occupants: Sequence[Occupant], promised: Iterable[Usage]
) -> Plan | None:
    """The pods that must go from a node for the wanted one to fit; None: it would not fit then either.

    ``promised``: what other pods of the tenant have been given on this node and do not hold yet.
    """
    free = dict(node.allocatable)
    for amounts in promised:
        take(free, amounts)
    yielding: list[Occupant] = []
    waits = False
    for occupant in occupants:
        if occupant.priority is None:
            take(free, occupant.amounts)
        elif occupant.leaving:
            waits = True
        else:
            yielding.append(occupant)
    if not _fits(wanted, free):
        return None
    victims = []
    for occupant in sorted(yielding, key=_importance):
        kept = dict(free)
        take(kept, occupant.amounts)
        if _fits(wanted, kept):
            free = kept
        else:
            victims.append(occupant)
    return Plan(node.name, tuple(victims), waits)


def best(plans: Iterable[Plan]) -> Plan | None:
    """The plan that does the least harm."""
    return min(plans, key=_harm, default=None)


def _importance(occupant: Occupant) -> tuple[bool, int, str]:
    """The more important, the smaller: guarded by a budget, of higher priority, older."""
    return not occupant.guarded, -(occupant.priority or 0), occupant.since


def _harm(found: Plan) -> tuple[int, int, int, int, str]:
    priorities = [victim.priority or 0 for victim in found.victims]
    guarded = sum(victim.guarded for victim in found.victims)
    highest = max(priorities, default=LOWEST_PRIORITY)
    together = sum(priority - LOWEST_PRIORITY for priority in priorities)
    return guarded, highest, together, len(priorities), found.node


def _fits(wanted: Wanted, free: Usage) -> bool:
    return all(amount <= free.get(name, 0) for name, amount in wanted.amounts.items() if amount)


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
