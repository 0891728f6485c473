"""What a super pod holds, as its last state shows. Pure."""

from types import MappingProxyType
from typing import NamedTuple

from kube.objects import decode_object
from syncer.admission.capacity import Held
from syncer.admission.device_usage import Extended
from syncer.admission.nodes import Wanted, placement
from syncer.admission.pod_usage import Usage, on_nodes, pod_usage, requested
from syncer.entries import SuperPod


class Observed(NamedTuple):
    """What counts of a super pod."""

    usage: Usage
    """Against the tenant's quota."""
    held: Held | None
    """Its devices; None: it wants none, or has ended."""
    alive: bool
    """Its gang has begun: it runs, or will, or has succeeded."""


def observed_pod(
    entry: SuperPod, raw: bytes, *, counts: bool, extended: Extended = MappingProxyType({})
) -> Observed:
    """``counts``: the tenant has a quota; ``extended``: the resources that stand for device classes."""
    pod = decode_object(raw)
    spec, status = pod["spec"], pod.get("status") or {}
    phase = status.get("phase")
    held = None
    if entry.devices and phase not in ("Succeeded", "Failed"):
        wanted = Wanted(on_nodes(requested(pod, spec.get("overhead"))), placement(spec))
        held = Held(entry.tenant, wanted, bool(entry.gang), entry.node, _is_stuck(status))
    return Observed(
        usage=pod_usage(pod, extended=extended) if counts else {},
        held=held,
        alive=not entry.deleting and phase != "Failed",
    )


def _is_stuck(status: dict[str, object]) -> bool:
    conditions = status.get("conditions")
    return isinstance(conditions, list) and any(
        condition.get("type") == "PodScheduled" and condition.get("status") == "False"
        for condition in conditions
    )
