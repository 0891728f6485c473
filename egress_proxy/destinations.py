"""What a tenant's API server may be connected to. Pure: decided from objects of the super cluster."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from kube.objects import Object, ObjectKey
from vcluster import api

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SERVICE = re.compile(rf"({_LABEL})\.({_LABEL})\.svc(?:\.cluster\.local)?\.?")
ENDED = ("Succeeded", "Failed")


class Denied(Exception):
    """The tenant's API server may not be connected to it; says why, for the tenant."""


class Target(NamedTuple):
    """A host, by name or address, and a port there."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def target_of(text: str) -> Target:
    """From ``host:port``; addresses in their usual form. Raises Denied."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Denied("it is no host and port")
    host = host.removeprefix("[").removesuffix("]").lower()
    found = address_of(host)
    return Target(str(found) if found else host, int(port))


def address_of(host: str) -> Address | None:
    """The IP address that a host is written as; None for a name."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped
    return found


def service_key(host: str) -> ObjectKey | None:
    """The tenant's Service that a name of its DNS is about; None for other names."""
    found = _SERVICE.fullmatch(host)
    return ObjectKey(found[2], found[1]) if found else None


def agents_of(node: Object, usual_port: int) -> frozenset[Target]:
    """Where the agent of a super node is: as virtual nodes tell it (syncer/kinds/node.py)."""
    annotations = node["metadata"].get("annotations") or {}
    host, _, port = annotations.get(api.NODE_AGENT_ANNOTATION, "").rpartition(":")
    number = int(port) if port.isdecimal() else usual_port
    if host:
        return frozenset({Target(host.strip("[]").lower(), number)})
    addresses = (node.get("status") or {}).get("addresses") or []
    return frozenset(
        Target(str(one["address"]).lower(), number)
        for one in addresses
        if one.get("type") in ("InternalIP", "Hostname")
    )


def is_own_pod(tenant: str, pods_of_address: Iterable[Object]) -> bool:
    """Whether an address is that of a pod of the tenant, and of nobody else.

    Pods that have ended keep an address in their status which others have by now. A pod in the host's
    network has the node's.
    """
    living = [pod for pod in pods_of_address if pod["status"].get("phase") not in ENDED]
    return len(living) == 1 and _is_own(tenant, living[0])


def _is_own(tenant: str, pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return labels.get(api.TENANT_LABEL) == tenant and not pod["spec"].get("hostNetwork")


def endpoints_of(service: Object, port: int, slices: Iterable[Object]) -> list[Target]:
    """The endpoints behind a port of a Service that are ready. Raises Denied if it has no such port."""
    ports: Sequence[Object] = service["spec"].get("ports") or []
    names = [
        one.get("name", "")
        for one in ports
        if one["port"] == port and one.get("protocol", "TCP") == "TCP"
    ]
    if not names:
        raise Denied(f"the service has no port {port}")
    return [
        Target(str(address), there["port"])
        for endpoint_slice in slices
        for there in endpoint_slice.get("ports") or []
        if (there.get("name") or "") == names[0] and there.get("port")
        for endpoint in endpoint_slice.get("endpoints") or []
        if _is_ready(endpoint)
        for address in endpoint.get("addresses") or []
    ]


def _is_ready(endpoint: dict[str, Any]) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def is_outside(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether it is outside of this machine, and the provider allows it."""
    return within(address, allowed) and not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )


def within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether it is in one of the ranges."""
    return any(address.version == one.version and address in one for one in networks)
