"""EndpointSlices of services without a selector; the super cluster makes all others itself."""

import functools
import ipaddress
from collections.abc import Sequence
from typing import Any

from kube.objects import Object
from kube.resources import ENDPOINT_SLICES
from syncer.kinds.mirror import (
    DownwardKind,
    Recreate,
    Refused,
    body,
    object_patch,
    super_metadata,
    with_digest,
)
from vcluster import api
from vcluster.api import Tenant, super_namespace

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
SELECTOR_CONTROLLER = "endpointslice-controller.k8s.io"
"""The manager of the slices of services with a selector."""
SYNCER = f"syncer.{api.GROUP}"
"""The manager of the mirrors: the super cluster's controllers leave them alone."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def endpoint_slice_kind(denied: Sequence[str] = (), gateway: str = "") -> DownwardKind:
    """The kind, for a super cluster whose own address ranges (CIDRs) are ``denied`` to endpoints.

    ``gateway`` is the address at which pods reach API servers: of its ports, a tenant's endpoints
    may have that of the tenant's own. Raises ValueError for what is no range.
    """
    networks = tuple(ipaddress.ip_network(cidr) for cidr in denied)
    return DownwardKind(
        resource=ENDPOINT_SLICES,
        to_super=functools.partial(to_super, denied=networks, gateway=gateway),
        patch=patch,
    )


def to_super(
    endpoint_slice: Object, tenant: Tenant, denied: Sequence[Network] = (), gateway: str = ""
) -> Object | None:
    """The super slice for a tenant's slice; None for those that the super cluster makes itself."""
    labels = endpoint_slice["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY_LABEL) == SELECTOR_CONTROLLER:
        return None
    metadata = super_metadata(endpoint_slice, tenant)
    metadata["labels"][MANAGED_BY_LABEL] = SYNCER
    wanted: Object = {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": metadata,
        **body(endpoint_slice),
    }
    if endpoints := endpoint_slice.get("endpoints"):
        if not _leads_to_own_api_server(endpoint_slice, tenant, gateway):
            refuse_addresses(endpoints, denied)
        wanted["endpoints"] = [_endpoint_to_super(endpoint, tenant) for endpoint in endpoints]
    return with_digest(wanted)


def patch(live: Object, wanted: Object) -> Object | None:
    """What differs."""
    if live.get("addressType") != wanted.get("addressType"):
        raise Recreate("addressType")
    return object_patch(live, wanted)


def _leads_to_own_api_server(endpoint_slice: Object, tenant: Tenant, gateway: str) -> bool:
    """Whether all that the slice leads to is the tenant's API server."""
    addresses = {
        address
        for endpoint in endpoint_slice["endpoints"]
        for address in endpoint.get("addresses") or ()
    }
    # A slice without ports means all ports.
    ports = [
        (port.get("port"), port.get("protocol", "TCP"))
        for port in endpoint_slice.get("ports") or [{}]
    ]
    return addresses == {gateway} and set(ports) == {(tenant.api_server_port, "TCP")}


def refuse_addresses(endpoints: Sequence[Object], denied: Sequence[Network]) -> None:
    """Raise Refused for an address by which a tenant could reach what is not its own."""
    for index, endpoint in enumerate(endpoints):
        for text in endpoint.get("addresses") or ():
            if reason := _objection(text, denied):
                raise Refused(
                    f"endpoints[{index}].addresses",
                    "DeniedAddress",
                    f"{text!r} {reason}; give an address of a pod or of a host outside the cluster",
                )


def _objection(text: str, denied: Sequence[Network]) -> str:
    try:
        address: Address = ipaddress.ip_address(text)
    except ValueError:
        return "is not an IP address, and where a name points cannot be checked"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    for property_, words in (
        ("is_loopback", "is a loopback address"),
        ("is_link_local", "is a link-local address"),
        ("is_multicast", "is a multicast address"),
        ("is_unspecified", "is the unspecified address"),
    ):
        if getattr(address, property_):
            return words
    for network in denied:
        if address.version == network.version and address in network:
            return "belongs to the cluster's own infrastructure"
    return ""


def _endpoint_to_super(endpoint: Object, tenant: Tenant) -> Object:
    target: dict[str, Any] | None = endpoint.get("targetRef")
    if not target:
        return endpoint
    kept = {k: v for k, v in target.items() if k not in ("uid", "resourceVersion")}
    if namespace := target.get("namespace"):
        kept["namespace"] = super_namespace(tenant.key, namespace)
    return endpoint | {"targetRef": kept}
