"""A tenant's spec merged with its class: it may tighten the class, never loosen it. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from vcluster import api
from vcluster.api import Object

POD_SECURITY = ("privileged", "baseline", "restricted")
"""From the loosest to the tightest."""
NODES_MODES = ("all", "used")
"""From the one that shows most to the one that shows least."""


class InvalidSpec(Exception):
    """A spec that its class does not allow: the field's path, and what would be right."""

    def __init__(self, field: str, reason: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.reason = reason


def effective(spec: Mapping[str, Any], virtual_cluster_class: Object | None) -> Object:
    """What operator and syncer act on, as in ``status.effective``. Raises InvalidSpec."""
    name = spec.get("className", api.DEFAULT_CLASS)
    if virtual_cluster_class is None:
        raise InvalidSpec(
            "spec.className", "ClassNotFound", f"there is no VirtualClusterClass {name!r}"
        )
    limits = virtual_cluster_class.get("spec", {})
    nodes, class_nodes = spec.get("nodes", {}), limits.get("nodes", {})
    return {
        "nodes": {
            "mode": _tightened(
                "spec.nodes.mode", NODES_MODES, nodes.get("mode"), class_nodes.get("mode", "all")
            ),
            "selector": _selector(nodes.get("selector", {}), class_nodes.get("selector", {})),
        },
        "policy": {
            "podSecurity": _tightened(
                "spec.policy.podSecurity",
                POD_SECURITY,
                spec.get("policy", {}).get("podSecurity"),
                limits.get("policy", {}).get("podSecurity", "baseline"),
            )
        },
        "sync": _sync(spec.get("sync", {}), limits.get("sync", {})),
        "scheduling": {"weight": _weight(spec.get("scheduling", {}), limits.get("scheduling", {}))},
    }


def kubernetes_version(spec: Mapping[str, Any], virtual_cluster_class: Object) -> str:
    """The version of the control plane."""
    default = virtual_cluster_class.get("spec", {}).get("kubernetesVersion", api.KUBERNETES_VERSION)
    return str(spec.get("kubernetesVersion", default))


def _tightened(field: str, order: tuple[str, ...], wanted: str | None, limit: str) -> str:
    """The value wanted, if it comes no earlier in the order than the class's."""
    if wanted is None:
        return limit
    if order.index(wanted) < order.index(limit):
        allowed = " or ".join(order[order.index(limit) :])
        message = f"{wanted!r} is looser than the class allows; it must be {allowed}"
        raise InvalidSpec(field, "LooserThanClass", message)
    return wanted


def _selector(wanted: Mapping[str, str], limit: Mapping[str, str]) -> dict[str, str]:
    for key, value in limit.items():
        if wanted.get(key, value) != value:
            raise InvalidSpec(
                f"spec.nodes.selector[{key}]",
                "LooserThanClass",
                f"{wanted[key]!r} leaves the class's nodes; it must be {value!r} or left out",
            )
    return {**limit, **wanted}


def _weight(wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> int:
    weight = int(wanted.get("weight", limits.get("weight", 1)))
    maximum = int(limits.get("maximumWeight", 100))
    if weight > maximum:
        raise InvalidSpec(
            "spec.scheduling.weight",
            "LooserThanClass",
            f"{weight} is more than the class allows; it must be at most {maximum}",
        )
    return weight


def _sync(wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> Object:
    """The options that are on; what the tenant leaves out is as the class has it."""
    merged: Object = {}
    for option in ("ingresses", "volumeSnapshots"):
        allowed = limits.get(option, False)
        if wanted.get(option) and not allowed:
            message = "true is more than the class allows; it must be false or left out"
            raise InvalidSpec(f"spec.sync.{option}", "LooserThanClass", message)
        merged[option] = wanted.get(option, allowed)
    classes = limits.get("ingressClasses", [])
    chosen = wanted.get("ingressClasses", classes)
    _check_chosen("spec.sync.ingressClasses", chosen, classes or chosen)
    if classes and not chosen:
        message = f"an empty list would allow all classes; allowed: {', '.join(classes)}"
        raise InvalidSpec("spec.sync.ingressClasses", "LooserThanClass", message)
    offered = {f"{one['plural']}.{one['group']}": one for one in limits.get("customResources", ())}
    names = wanted.get("customResources", list(offered))
    _check_chosen("spec.sync.customResources", names, offered)
    return merged | {
        "ingressClasses": chosen,
        "ingressAnnotations": limits.get("ingressAnnotations", []),
        "customResources": [offered[name] for name in names],
    }


def _check_chosen(field: str, chosen: Iterable[str], allowed: Collection[str]) -> None:
    for name in chosen:
        if name not in allowed:
            offered = ", ".join(allowed) or "none"
            message = f"{name!r} is not allowed by the class; allowed: {offered}"
            raise InvalidSpec(field, "LooserThanClass", message)
