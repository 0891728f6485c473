"""Services: the same address on both sides; node ports and balancers come from the super cluster.

Node ports exist once for all tenants. The one that the tenant's Service has is asked for, and given
unless somebody else has it: people and programs use a port as soon as their API server names it.
"""

import ipaddress
from collections.abc import Sequence

from kube.errors import ApiError, ServerError
from kube.objects import Object
from kube.resources import SERVICES
from syncer.kinds.mirror import (
    DownwardKind,
    Recreate,
    Refused,
    Write,
    body,
    merge_patch,
    metadata_patch,
    super_metadata,
    with_digest,
)
from vcluster import api
from vcluster.api import Tenant

SPEC_KEYS_ANNOTATION = f"{api.PREFIX}spec-keys"
"""Which fields of a mirror's spec came from the tenant; others were added in the super cluster."""
HEADLESS = "None"
EXTERNAL_NAME = "ExternalName"
HEALTH_CHECK = "healthCheckNodePort"
HEALTH_CHECK_TAKEN = "failed to allocate requested HealthCheck NodePort"
# The port for health checks is a wish, as node ports are. External IPs are refused unless empty.
NOT_SENT = ("externalIPs", HEALTH_CHECK)


def mirrored(service: Object, tenant: Tenant) -> Object | None:
    """The super Service for a tenant's Service; None for a name that could be followed there.

    A Service that is only a name is served to the tenant's pods by the tenant's own DNS. Below, a
    controller that all tenants share would follow it, for an object of the tenant's that goes down, to
    whatever it points to: another tenant, the super cluster.
    """
    only_a_name = (service.get("spec") or {}).get("type") == EXTERNAL_NAME
    followed = tenant.sync.ingresses or any(
        resource.direction == "down" for resource in tenant.sync.custom_resources
    )
    return None if only_a_name and followed else to_super(service, tenant)


def to_super(service: Object, tenant: Tenant) -> Object:
    """The super Service for a tenant's Service."""
    spec: Object = service.get("spec") or {}
    _refuse_addresses(spec, tenant)
    wanted_spec = {key: value for key, value in spec.items() if key not in NOT_SENT}
    if ports := spec.get("ports"):
        wanted_spec["ports"] = [_without_node_port(port) for port in ports]
    metadata = super_metadata(service, tenant)
    metadata["annotations"][SPEC_KEYS_ANNOTATION] = " ".join(sorted(wanted_spec))
    wanted = {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": metadata,
        **body(service),
        "spec": wanted_spec,
    }
    # Outside the digest: what the super cluster gave is written to the tenant's Service.
    wanted = with_digest(wanted)
    wishes = {"ports": ports} if ports and _has_node_ports(spec) else {}
    if HEALTH_CHECK in spec:
        wishes[HEALTH_CHECK] = spec[HEALTH_CHECK]
    wanted["spec"] = wanted_spec | wishes
    return wanted


def modest(wanted: Object, error: ApiError) -> Object:
    """The wanted Service with any ports on nodes instead of those which, the error says, are taken.

    Of that for health checks the API server says so as of a fault of its own (alloc.go). The tenant's then
    stays another one: it can never be changed.
    """
    spec: Object = wanted["spec"]
    if isinstance(error, ServerError):
        if HEALTH_CHECK_TAKEN not in error.message:
            return wanted
        return wanted | {"spec": {key: spec[key] for key in spec if key != HEALTH_CHECK}}
    if not spec.get("ports"):
        return wanted
    return wanted | {"spec": spec | {"ports": [_without_node_port(port) for port in spec["ports"]]}}


def patch(live: Object, wanted: Object) -> Object | None:
    """What differs; node ports and what the super cluster added or defaulted stay."""
    live_spec, wanted_spec = live["spec"], dict(wanted["spec"])
    annotations = live["metadata"].get("annotations") or {}
    gone = {
        key: None
        for key in annotations.get(SPEC_KEYS_ANNOTATION, "").split()
        if key in live_spec and key not in wanted_spec
    }
    _check_immutable(live_spec, wanted_spec, gone)
    if _has_node_ports(wanted_spec):
        wanted_spec["ports"] = _keep_node_ports(
            wanted_spec.get("ports") or [], live_spec.get("ports") or []
        )
    if live_spec.get(HEALTH_CHECK):
        wanted_spec.pop(HEALTH_CHECK, None)  # given once for all
    shared = {key: value for key, value in live_spec.items() if key in wanted_spec}
    change: Object = {}
    if spec := gone | (merge_patch(shared, wanted_spec) or {}):
        change["spec"] = spec
    if metadata := metadata_patch(live, wanted):
        change["metadata"] = metadata
    others = {key: value for key, value in body(wanted).items() if key != "spec"}
    change |= merge_patch({key: live.get(key) for key in others}, others) or {}
    return change or None


def to_tenant(mirror: Object, service: Object, tenant: Tenant) -> list[Write]:
    """The node ports and the load balancer's status that the super cluster gave."""
    if mirror["spec"].get("type") != service["spec"].get("type"):
        return []  # the tenant has just changed it: what the mirror says is about the old type
    writes = []
    if (ports := _ports_to_tenant(mirror["spec"], service["spec"])) is not None:
        # A merge patch replaces the whole list: not that of a version that we have not seen.
        version = {"resourceVersion": service["metadata"]["resourceVersion"]}
        writes.append(Write("", {"metadata": version, "spec": {"ports": ports}}))
    if status := merge_patch(service.get("status") or {}, _status_to_tenant(mirror, service)):
        writes.append(Write("status", {"status": status}))
    return writes


def _refuse_addresses(spec: Object, tenant: Tenant) -> None:
    if external := spec.get("externalIPs"):
        raise Refused(
            "spec.externalIPs",
            "ExternalIPs",
            f"{external} would divert traffic of the whole cluster; use type LoadBalancer",
        )
    addresses = {spec.get("clusterIP") or HEADLESS, *(spec.get("clusterIPs") or ())}
    for address in sorted(addresses - {HEADLESS}):
        if not _inside(address, tenant.service_cidr):
            raise Refused(
                "spec.clusterIP",
                "OutsideServiceRange",
                f"{address!r} is outside {tenant.service_cidr}, the service range of this cluster; "
                "leave the field empty and an address is allocated",
            )


def _inside(address: str, cidr: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    except ValueError:
        return False


def _check_immutable(live: Object, wanted: Object, gone: Object) -> None:
    """Raise Recreate for what a Service may only change by way of another type, and has."""
    types = live.get("type"), wanted.get("type")
    if EXTERNAL_NAME not in types:
        old, new = live.get("clusterIP"), wanted.get("clusterIP")
        if old and new and old != new:
            raise Recreate("spec.clusterIP")
    if types == ("LoadBalancer", "LoadBalancer"):
        old, new = live.get("loadBalancerClass"), wanted.get("loadBalancerClass")
        if (old and new and old != new) or "loadBalancerClass" in gone:
            raise Recreate("spec.loadBalancerClass")


def _has_node_ports(spec: Object) -> bool:
    if spec.get("type") == "LoadBalancer":
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return spec.get("type") == "NodePort"


def _without_node_port(port: Object) -> Object:
    return {key: value for key, value in port.items() if key != "nodePort"}


def _keep_node_ports(wanted: Sequence[Object], live: Sequence[Object]) -> list[Object]:
    """The wanted ports with the node ports of the live ones.

    Ports are the same by number and protocol, else by name and protocol: one whose number changes
    keeps its node port.
    """
    kept: dict[int, int] = {}
    free = [port for port in live if port.get("nodePort")]
    for field in ("port", "name"):
        for index, port in enumerate(wanted):
            if index in kept:
                continue
            for candidate in free:
                if _same(port, candidate, field):
                    kept[index] = candidate["nodePort"]
                    free.remove(candidate)
                    break
    return [
        port | {"nodePort": kept[index]} if index in kept else port
        for index, port in enumerate(wanted)
    ]


def _same(one: Object, other: Object, field: str) -> bool:
    return bool(
        one.get(field) == other.get(field)
        and one.get("protocol", "TCP") == other.get("protocol", "TCP")
    )


def _ports_to_tenant(mirror_spec: Object, spec: Object) -> list[Object] | None:
    """The tenant's ports with the node ports of the mirror's; None: they have them already."""
    if spec.get("type") not in ("NodePort", "LoadBalancer"):
        return None
    ports: list[Object] = spec.get("ports") or []
    allocated = mirror_spec.get("ports") or []
    changed = []
    for port in ports:
        same = next((other for other in allocated if _same(port, other, "port")), None)
        if same is None:
            changed.append(port)  # not yet sent down
        elif same.get("nodePort"):
            changed.append(port | {"nodePort": same["nodePort"]})
        else:
            changed.append(_without_node_port(port))
    return None if changed == ports else changed


def _status_to_tenant(mirror: Object, service: Object) -> Object:
    """The status that the tenant's Service should show."""
    status: Object = dict(service.get("status") or {})
    shown: Object = mirror.get("status") or {}
    for field, value in shown.items():
        if field not in ("conditions", "loadBalancer"):
            status[field] = value
    if conditions := shown.get("conditions"):
        status["conditions"] = _merged(status.get("conditions") or [], conditions)
    balancer = shown.get("loadBalancer") or {}
    # A class that nobody serves in the super cluster may be served by an operator in the tenant.
    served_by_tenant = not balancer and service["spec"].get("loadBalancerClass")
    if service["spec"].get("type") == "LoadBalancer" and not served_by_tenant:
        status["loadBalancer"] = balancer
    return status


def _merged(own: Sequence[Object], theirs: Sequence[Object]) -> list[Object]:
    """Conditions merged by type: the super cluster's win, the tenant's others stay."""
    by_type = {condition["type"]: condition for condition in [*own, *theirs]}
    return list(by_type.values())


SERVICE = DownwardKind(
    resource=SERVICES, to_super=mirrored, patch=patch, to_tenant=to_tenant, modest=modest
)
