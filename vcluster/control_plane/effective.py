"""A tenant's spec merged with its class: it may tighten the class, never loosen it. Pure."""

from collections.abc import Mapping
from typing import Any

from kube.quantities import nanos
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
        "quota": {"hard": _hard(spec.get("quota", {}), limits.get("quota", {}))},
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


def _hard(wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, str]:
    """Each amount that tenant or class names; the tenant's is at most the class's."""
    merged = {key: str(value) for key, value in limits.get("hard", {}).items()}
    for key, value in wanted.get("hard", {}).items():
        field = f"spec.quota.hard[{key}]"
        try:
            amount = nanos(value)
        except ValueError as error:
            raise InvalidSpec(field, "InvalidQuantity", str(error)) from error
        if amount < 0:
            message = f"{value} is less than nothing; it must be at least 0"
            raise InvalidSpec(field, "InvalidQuantity", message)
        if key in merged and amount > nanos(merged[key]):
            message = f"{value} is more than the class allows; it must be at most {merged[key]}"
            raise InvalidSpec(field, "LooserThanClass", message)
        merged[key] = str(value)
    return merged


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
