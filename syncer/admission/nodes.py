"""Whether pods fit on nodes, as far as devices and placement go. Pure.

A part of what the scheduler looks at: taints, node selectors, required node affinity, and the requests of
pods that want devices. Enough to know whether a whole gang finds its devices.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kube.objects import Object, encode
from kube.quantities import nanos
from syncer.admission.pod_usage import Usage, is_extended
from syncer.kinds.node_taints import KEEP_AWAY, Taint, taints_of, tolerated

Room = dict[str, dict[str, int]]
"""What is free, by node and resource, in nanos."""

_decode = msgspec.json.Decoder(tuple[Any, Any, Any]).decode


class NodeRoom(NamedTuple):
    """A node that takes pods."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Taint]
    allocatable: Usage


class Wanted(NamedTuple):
    """What a pod wants of a node."""

    amounts: Usage
    """By resource."""
    placement: bytes
    """What the super pod's spec says of where it may run (see ``placement``)."""

    def devices(self) -> dict[str, int]:
        """The devices among the amounts."""
        return {name: value for name, value in self.amounts.items() if is_extended(name)}


def placement(spec: Object) -> bytes:
    """The part of a super pod's spec that says where it may run; equal for pods of one template."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity")
    return encode([spec.get("nodeSelector"), affinity, spec.get("tolerations")])


def device_room(node: Object) -> NodeRoom | None:
    """None for a node without devices, or that takes no pods."""
    room = node_room(node)
    return room if room is not None and any(map(is_extended, room.allocatable)) else None


def node_room(node: Object) -> NodeRoom | None:
    """None for a node that takes no pods."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    if (node.get("spec") or {}).get("unschedulable"):
        return None
    return NodeRoom(
        name=node["metadata"]["name"],
        labels=node["metadata"].get("labels") or {},
        taints=taints_of(node),
        allocatable={name: nanos(value) for name, value in allocatable.items()},
    )


def suits(node: NodeRoom, where: bytes) -> bool:
    """A pod of this placement may run on the node, were it empty."""
    return choice(where)(node)


def choice(where: bytes) -> Callable[[NodeRoom], bool]:
    """Tells of many nodes whether a pod of this placement may run there, were they empty."""
    selector, affinity, tolerations = _decode(where)

    def chosen(node: NodeRoom) -> bool:
        for taint in node.taints:
            if taint.effect in KEEP_AWAY and not tolerated(taint, tolerations or ()):
                return False
        return _is_chosen(node, selector, affinity)

    return chosen


def is_chosen(node: Object, spec: Object) -> bool:
    """A pod's node selector and required node affinity choose the node, whatever else keeps it away."""
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    affinity = (spec.get("affinity") or {}).get("nodeAffinity")
    return _is_chosen(NodeRoom(name, labels, (), {}), spec.get("nodeSelector"), affinity)


def _is_chosen(node: NodeRoom, selector: Object | None, affinity: Object | None) -> bool:
    if any(node.labels.get(key) != value for key, value in (selector or {}).items()):
        return False
    terms = ((affinity or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get(
        "nodeSelectorTerms"
    )
    return not terms or any(_matches(node, term) for term in terms)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """A label selector (``metav1.LabelSelector``) matches the labels; an empty one matches all."""
    return all(
        labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()
    ) and all(_meets(labels, requirement) for requirement in selector.get("matchExpressions") or ())


def place(pods: Iterable[Wanted], nodes: Mapping[str, NodeRoom], room: Room) -> bool:
    """Take the pods' room from ``room``, the largest first; True: all of them found some.

    A pod goes where least is free, so that large ones find whole nodes.
    """
    alike = sorted(_alike(pods), key=lambda kind: -_devices(kind[0].amounts))
    found = [_fill(pod, count, nodes, room) for pod, count in alike]
    return all(found)


def take(free: dict[str, int], amounts: Usage) -> None:
    """Take amounts from what is free on one node."""
    for name, amount in amounts.items():
        if name in free:
            free[name] -= amount


def _fill(pod: Wanted, count: int, nodes: Mapping[str, NodeRoom], room: Room) -> bool:
    names = [name for name, node in nodes.items() if suits(node, pod.placement)]
    left = count
    for name in sorted(names, key=lambda name: _devices(room[name])):
        fitting = min(left, _times(pod.amounts, room[name]))
        take(room[name], {key: fitting * amount for key, amount in pod.amounts.items()})
        left -= fitting
        if not left:
            return True
    return False


def _alike(pods: Iterable[Wanted]) -> list[tuple[Wanted, int]]:
    """Pods that want the same, and how many there are: those of a gang mostly do."""
    kinds: dict[tuple[object, ...], tuple[Wanted, int]] = {}
    for pod in pods:
        kind = (pod.placement, *sorted(pod.amounts.items()))
        kinds[kind] = pod, kinds[kind][1] + 1 if kind in kinds else 1
    return list(kinds.values())


def _times(amounts: Usage, free: Usage) -> int:
    """How many pods with these amounts fit."""
    times = [free.get(name, 0) // amount for name, amount in amounts.items() if amount]
    return max(0, min(times, default=0))


def _devices(amounts: Usage) -> int:
    return sum(value for name, value in amounts.items() if is_extended(name))


def _matches(node: NodeRoom, term: Mapping[str, Any]) -> bool:
    fields = {"metadata.name": node.name}
    return all(
        _meets(node.labels, requirement) for requirement in term.get("matchExpressions") or ()
    ) and all(_meets(fields, requirement) for requirement in term.get("matchFields") or ())


def _meets(labels: Mapping[str, str], requirement: Mapping[str, Any]) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values") or ()
    operator = requirement["operator"]
    if operator in ("In", "NotIn"):
        return (value in values) is (operator == "In")
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) is (operator == "Exists")
    if operator in ("Gt", "Lt"):
        difference = _compare(value, values)
        return difference > 0 if operator == "Gt" else difference < 0
    return False


def _compare(value: str | None, values: Sequence[str]) -> int:
    """As numbers; 0 if one of them is none, which neither Gt nor Lt accepts."""
    try:
        return int(value or "") - int(values[0])
    except (ValueError, IndexError):
        return 0
