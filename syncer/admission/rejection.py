"""What a kubelet answers to a pod that names its node and that the node cannot take. Pure.

Here the scheduler looks first: the super pod asks for that node alone (``kinds/pod_placement.py``). What it
says is read as the kubelet would say it: reasons, messages and their order are those of
pkg/kubelet/lifecycle/predicate.go of Kubernetes 1.37. Anything else that keeps a pod from its node (a taint
that only schedulers look at, a node that is not ready) concerns no kubelet: the pod waits.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from kube.objects import Object
from kube.quantities import NANOS, nanos
from syncer.admission.nodes import is_chosen
from syncer.admission.pod_usage import requested

CRITICAL_PRIORITY = 2_000_000_000
"""From here on a kubelet makes room for a pod instead of rejecting it (scheduling.SystemCriticalPriority)."""

# The scheduler's words: ErrReason and errReasonConflict of its plug-ins, and those of NodeResourcesFit.
PORTS = "node(s) didn't have free ports for the requested pod ports"
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
CONFLICT = "pod affinity terms conflict"
TOO_MANY = "Too many pods"
_INSUFFICIENT = re.compile(r"\bInsufficient ([A-Za-z0-9][A-Za-z0-9./_-]*[A-Za-z0-9])")
_FIRST = ("pods", "cpu", "memory", "ephemeral-storage")
"""The kubelet's order: it gives its first reason only."""


class Rejection(NamedTuple):
    """Why a node does not take a pod, in the kubelet's words."""

    reason: str
    message: str


def rejection(said: str, pod: Object, node: Object) -> Rejection | None:
    """The kubelet's answer to a pod, where the scheduler has ``said`` that its node does not suit.

    ``pod`` and ``node``: as the tenant sees them at this moment. None: no kubelet would say anything.
    """
    for name in _short(said, node):
        if (pod["spec"].get("priority") or 0) >= CRITICAL_PRIORITY:
            return None
        return Rejection(f"OutOf{name}", _shortage(name, pod, node))
    unsuitable = AFFINITY in said or CONFLICT in said
    if unsuitable and not is_chosen(node, pod["spec"]):
        return Rejection("NodeAffinity", f"Predicate NodeAffinity failed: {AFFINITY}")
    if PORTS in said:
        return Rejection("NodePorts", f"Predicate NodePorts failed: {PORTS}")
    return None


def _short(said: str, node: Object) -> Iterator[str]:
    """What the node has too little of. What it has none of is not the kubelet's to miss."""
    short = {*_INSUFFICIENT.findall(said), *(("pods",) if TOO_MANY in said else ())}
    short &= _allocatable(node).keys()
    yield from (name for name in _FIRST if name in short)
    yield from sorted(short.difference(_FIRST))


def _shortage(name: str, pod: Object, node: Object) -> str:
    """Without ``used``, which the kubelet names as well: it is mostly other tenants'."""
    amounts = requested(pod, pod["spec"].get("overhead")) | {"pods": NANOS}
    wanted, there = amounts.get(name, 0), nanos(_allocatable(node)[name])
    return (
        f"Node didn't have enough resource: {name}, "
        f"requested: {_counted(name, wanted)}, capacity: {_counted(name, there)}"
    )


def _allocatable(node: Object) -> Object:
    found: Object = (node.get("status") or {}).get("allocatable") or {}
    return found


def _counted(name: str, amount: int) -> int:
    """As kubelets count: thousandths of CPUs, whole units of all else, rounded up."""
    return -(-amount // (NANOS // 1000 if name == "cpu" else NANOS))
