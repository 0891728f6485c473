"""What a pod counts for against a quota: the rules of ResourceQuota, in nanos.

After k8s.io/component-helpers/resource (PodRequests, PodLimits) and pkg/quota/v1/evaluator/core/pods.go
of Kubernetes 1.37, which say how containers, sidecars, init containers, pod-level resources, overhead
and resizes add up.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from kube.objects import Object
from kube.quantities import NANOS, nanos
from syncer.admission.device_usage import Extended, extended_usage, is_of_class
from vcluster import hosts_file

Usage = Mapping[str, int]
"""Amounts in nanos by the keys of ResourceQuota (or by resource, where it is said)."""

COMPUTE = ("cpu", "memory", "ephemeral-storage")
MUST_BE_NAMED = ("cpu", "memory")
"""Of these ResourceQuota wants every container to name what a quota limits; else it has no bound."""
HUGE_PAGES = "hugepages-"

_Resources = Mapping[str, Any]


def pod_usage(
    pod: Object, overhead: _Resources | None = None, extended: Extended = MappingProxyType({})
) -> dict[str, int]:
    """What the pod counts for; ``overhead`` instead of its own, which a tenant may have made up.

    ``extended``: the resources that stand for device classes.
    """
    used = {"count/pods": NANOS}
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return used
    pod = pod | {"spec": hosts_file.in_spec(pod["spec"])}  # what is ours is not the tenant's
    own = pod["spec"].get("overhead") if overhead is None else overhead
    requests, limits = requested(pod, own), _limits(pod, own)
    used["pods"] = NANOS
    for name in COMPUTE:
        if name in requests:
            used[name] = used[f"requests.{name}"] = requests[name]
        if name in limits:
            used[f"limits.{name}"] = limits[name]
    for name, amount in requests.items():
        if name.startswith(HUGE_PAGES):
            used[name] = used[f"requests.{name}"] = amount
        elif is_extended(name):
            used[f"requests.{name}"] = amount
    return used | extended_usage(requests, extended)


def on_nodes(amounts: Usage) -> dict[str, int]:
    """Of what a pod asks for: what nodes have; the rest the scheduler claims for it."""
    return {name: amount for name, amount in amounts.items() if not is_of_class(name)}


def requested(pod: Object, overhead: _Resources | None = None) -> dict[str, int]:
    """What the scheduler and the kubelet hold for the pod, by resource."""
    spec, status = pod["spec"], pod.get("status") or {}
    shown = dict(_shown(status))
    infeasible = _is_infeasible(status)

    def allocated(container: Object) -> _Resources:
        seen = shown.get(container["name"], {}).get("allocatedResources")
        return seen if seen is not None else ({} if infeasible else _asked(container))

    def actuated(container: Object) -> _Resources:
        seen = (shown.get(container["name"], {}).get("resources") or {}).get("requests")
        return seen if seen is not None else allocated(container)

    total = _together(spec, _asked) if not (shown and infeasible) else {}
    if shown:
        for source in (allocated, actuated):
            _raise_to(total, _together(spec, source))
    total |= _pod_level(spec, "requests")
    _add(total, _amounts(overhead or {}))
    return total


def unnamed(pod: Object, hard: Usage) -> str:
    """What a quota wants named and some container does not; empty: nothing is missing."""
    if _pod_level(pod["spec"], "requests") or _pod_level(pod["spec"], "limits"):
        return ""
    missing = []
    for key in sorted(hard):
        field, _, name = key.rpartition(".")
        if name not in MUST_BE_NAMED or field not in ("", "requests", "limits"):
            continue
        containers = [
            container["name"]
            for kind in ("containers", "initContainers")
            for container in pod["spec"].get(kind) or ()
            if name not in ((container.get("resources") or {}).get(field or "requests") or {})
        ]
        if containers:
            missing.append(f"{key} for {', '.join(containers)}")
    return "; ".join(missing)


def devices(pod: Object) -> dict[str, int]:
    """The extended resources that the pod asks for; cheap for a pod that asks for none."""
    spec = pod["spec"]
    for kind in ("containers", "initContainers"):
        for container in spec.get(kind) or ():
            resources = container.get("resources")
            if resources and any(map(is_extended, resources.get("limits") or ())):
                asked = _together(spec, _asked)
                amounts = {name: value for name, value in asked.items() if is_extended(name)}
                return {name: value for name, value in on_nodes(amounts).items() if value}
    return {}


def is_extended(name: str) -> bool:
    """A device or another resource that Kubernetes itself knows nothing of."""
    return "/" in name and not name.startswith("kubernetes.io/")


def _limits(pod: Object, overhead: _Resources | None) -> dict[str, int]:
    spec = pod["spec"]
    status = pod.get("status") or {}
    shown = dict(_shown(status))

    def actuated(container: Object) -> _Resources:
        seen = (shown.get(container["name"], {}).get("resources") or {}).get("limits")
        if seen is None and _is_infeasible(status):
            return {}
        return seen if seen is not None else _limit(container)

    total = _together(spec, _limit) if not (shown and _is_infeasible(status)) else {}
    if shown:
        _raise_to(total, _together(spec, actuated))
    total |= _pod_level(spec, "limits")
    for name, amount in _amounts(overhead or {}).items():
        if total.get(name):
            total[name] += amount
    return total


def _asked(container: Object) -> _Resources:
    resources = container.get("resources") or {}
    # A pod that an API server has stored names both; a limit alone is also the request.
    return (resources.get("limits") or {}) | (resources.get("requests") or {})


def _limit(container: Object) -> _Resources:
    return (container.get("resources") or {}).get("limits") or {}


def _together(spec: Object, of: Callable[[Object], _Resources]) -> dict[str, int]:
    """Containers and sidecars run together; each init container runs beside the sidecars before it."""
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, _amounts(of(container)))
    sidecars: dict[str, int] = {}
    first: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        amounts = _amounts(of(container))
        if container.get("restartPolicy") == "Always":
            _add(total, amounts)
            _add(sidecars, amounts)
            _raise_to(first, sidecars)
        else:
            _add(amounts, sidecars)
            _raise_to(first, amounts)
    _raise_to(total, first)
    return total


def _pod_level(spec: Object, field: str) -> dict[str, int]:
    named = (spec.get("resources") or {}).get(field) or {}
    return {
        name: nanos(value)
        for name, value in named.items()
        if name in MUST_BE_NAMED or name.startswith(HUGE_PAGES)
    }


def _shown(status: Object) -> Iterator[tuple[str, Object]]:
    for kind in ("containerStatuses", "initContainerStatuses"):
        for container in status.get(kind) or ():
            if container.get("resources") or container.get("allocatedResources"):
                yield container["name"], container


def _is_infeasible(status: Object) -> bool:
    return any(
        condition.get("type") == "PodResizePending" and condition.get("reason") == "Infeasible"
        for condition in status.get("conditions") or ()
    )


def _amounts(resources: _Resources) -> dict[str, int]:
    return {name: nanos(value) for name, value in resources.items()}


def _add(total: dict[str, int], more: Usage) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise_to(total: dict[str, int], other: Usage) -> None:
    for name, value in other.items():
        total[name] = max(total.get(name, 0), value)
