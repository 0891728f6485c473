"""A tenant's spec merged with its class: it may tighten the class, never loosen it. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
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
        "policy": _policy(spec.get("policy", {}), limits.get("policy", {})),
        "scheduling": _scheduling(spec.get("scheduling", {}), limits.get("scheduling", {})),
        "dns": {
            "enabled": bool(spec.get("dns", {}).get("enabled", True)),
            "image": limits.get("dns", {}).get("image", api.DNS_IMAGE),
        },
        "sync": _sync(spec.get("sync", {}), limits.get("sync", {})),
        "quota": {
            "hard": _hard(spec.get("quota", {}), limits.get("quota", {})),
            "datastore": _datastore(spec.get("quota", {}), limits.get("quota", {})),
        },
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


def _policy(wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> Object:
    level, limit = wanted.get("podSecurity"), limits.get("podSecurity", "baseline")
    taints = limits.get("deniedTaints", api.CONTROL_PLANE_TAINTS)
    withheld = limits.get("withheldAnnotations", api.WITHHELD_ANNOTATIONS)
    merged: Object = {
        "podSecurity": _tightened("spec.policy.podSecurity", POD_SECURITY, level, limit),
        "deniedTaints": sorted({*taints, *wanted.get("deniedTaints", ())}),
        "withheldAnnotations": sorted({*withheld, *wanted.get("withheldAnnotations", ())}),
    }
    types = limits.get("volumeTypes", ())
    _check_chosen("spec.policy.volumeTypes", wanted.get("volumeTypes", ()), types)
    if chosen := wanted.get("volumeTypes", types):
        merged["volumeTypes"] = list(chosen)
    registries, allowed = wanted.get("registries"), limits.get("registries")
    if found := _registries(registries or (), allowed or ()):
        merged["registries"] = found
    for field in ("requests", "limits"):
        if rule := _resource_rule(wanted.get(field, {}), limits.get(field, {})):
            merged[field] = rule
    _check_defaults(merged)
    field = "activeDeadlineSeconds"
    deadline, longest = wanted.get(field), limits.get(field)
    if deadline is not None and longest is not None and deadline > longest:
        message = f"{deadline} is more than the class allows; it must be at most {longest}"
        raise InvalidSpec(f"spec.policy.{field}", "LooserThanClass", message)
    if deadline is not None or longest is not None:
        merged[field] = longest if deadline is None else deadline
    return merged


def _registries(wanted: Sequence[str], allowed: Sequence[str]) -> list[str]:
    for registry in wanted if allowed else ():
        if not any(registry == other or registry.startswith(f"{other}/") for other in allowed):
            message = f"{registry!r} is not allowed by the class; allowed: {', '.join(allowed)}"
            raise InvalidSpec("spec.policy.registries", "LooserThanClass", message)
    return list(wanted or allowed)


def _resource_rule(wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> Object:
    """What either requires is required. A default only fills in, so the tenant's comes first."""
    required = sorted({*limits.get("required", ()), *wanted.get("required", ())})
    defaults = {**limits.get("defaults", {}), **wanted.get("defaults", {})}
    return {
        name: value for name, value in (("required", required), ("defaults", defaults)) if value
    }


def _check_defaults(policy: Object) -> None:
    requests, limits = (
        policy.get(field, {}).get("defaults", {}) for field in ("requests", "limits")
    )
    for name in requests.keys() & limits.keys():
        if nanos(requests[name]) > nanos(limits[name]):
            message = f"{requests[name]!r} is more than the default limit {limits[name]!r}"
            raise InvalidSpec(f"spec.policy.requests.defaults[{name}]", "Contradiction", message)


def _scheduling(wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> Object:
    merged: Object = {"weight": _weight(wanted, limits)}
    own, forced = wanted.get("runtimeClassName"), limits.get("runtimeClassName")
    if own and forced and own != forced:
        message = f"{own!r} is not the class's; it must be {forced!r} or left out"
        raise InvalidSpec("spec.scheduling.runtimeClassName", "LooserThanClass", message)
    return merged | ({"runtimeClassName": forced or own} if forced or own else {})


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


def _datastore(wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> Object:
    """Always limited: the datastore is shared."""
    merged: Object = {
        "objects": api.DATASTORE_OBJECTS,
        "size": api.DATASTORE_SIZE,
        "history": api.DATASTORE_HISTORY,
    }
    merged |= limits.get("datastore", {})
    for name, value in wanted.get("datastore", {}).items():
        if nanos(value) > nanos(merged[name]):
            message = f"{value} is more than the class allows; it must be at most {merged[name]}"
            raise InvalidSpec(f"spec.quota.datastore.{name}", "LooserThanClass", message)
        merged[name] = value
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


def _sync(wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> Object:
    """The options that are on; what the tenant leaves out is as the class has it."""
    merged: Object = {}
    for option in ("ingresses", "volumeSnapshots", "resourceClaims"):
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
        "opaqueConfigurationDrivers": limits.get("opaqueConfigurationDrivers", []),
        "customResources": [offered[name] for name in names],
    }


def _check_chosen(field: str, chosen: Iterable[str], allowed: Collection[str]) -> None:
    for name in chosen:
        if name not in allowed:
            offered = ", ".join(allowed) or "none"
            message = f"{name!r} is not allowed by the class; allowed: {offered}"
            raise InvalidSpec(field, "LooserThanClass", message)
