"""Each tenant's own range of Service addresses: a ServiceCIDR object of the super cluster.

The object's name is made of the range, so that the API server decides between two that want the
same one; its label says whose it is, so that it is found again after a crash.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

from kube.resources import SERVICE_CIDRS
from vcluster import api
from vcluster.api import Object
from vcluster.control_plane.cluster import ApiError, Cluster
from vcluster.control_plane.manifests import Manifests

PREFIX_LENGTH = 24
TEMPLATE = "control-plane/service-range.yaml.j2"
ATTEMPTS = 20

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class ServiceRangeError(Exception):
    """The tenant cannot have a service range now; says why, and what it waits for."""


def object_name(cidr: str) -> str:
    """The name of the ServiceCIDR object of a range."""
    return "virtualcluster-" + cidr.replace(".", "-").replace("/", "-")


def ranges_of(service_cidrs: Iterable[Object]) -> list[Network]:
    """All ranges that the objects hold."""
    return [
        ipaddress.ip_network(cidr)
        for service_cidr in service_cidrs
        for cidr in service_cidr["spec"].get("cidrs") or []
    ]


def free_range(pool: str, taken: Sequence[Network], seed: str) -> str:
    """A range of the pool that overlaps none of those taken. Raises ServiceRangeError if all are.

    The search starts where the seed says, so that tenants created at once seldom want the same.
    """
    network = ipaddress.IPv4Network(pool)
    count = 1 << (PREFIX_LENGTH - network.prefixlen) if network.prefixlen <= PREFIX_LENGTH else 0
    first = int.from_bytes(sha256(seed.encode()).digest()[:4])
    size = 1 << (32 - PREFIX_LENGTH)
    for offset in range(count):
        start = int(network.network_address) + (first + offset) % count * size
        candidate = ipaddress.IPv4Network((start, PREFIX_LENGTH))
        if not any(candidate.overlaps(other) for other in taken if other.version == 4):
            return str(candidate)
    raise ServiceRangeError(f"the service pool {pool} has no free /{PREFIX_LENGTH} range")


def ensure(cluster: Cluster, manifests: Manifests, key: str, remembered: str, pool: str) -> str:
    """The tenant's range, allocated if it has none. Raises ServiceRangeError."""
    existing = cluster.list(SERVICE_CIDRS)
    own = [found for found in existing if _owner(found) == key]
    if own:
        lasting = [found for found in own if "deletionTimestamp" not in found["metadata"]]
        if not lasting:
            name = own[0]["metadata"]["name"]
            raise ServiceRangeError(
                f"ServiceCIDR {name} is being deleted; it is created again once no Service uses it"
            )
        return str(lasting[0]["spec"]["cidrs"][0])
    for _ in range(ATTEMPTS):
        cidr = remembered or free_range(pool, ranges_of(existing), key)
        [wanted] = manifests.render(TEMPLATE, name=object_name(cidr), key=key, cidr=cidr)
        try:
            cluster.create(SERVICE_CIDRS, wanted)
        except ApiError as error:
            if error.status != 409:
                raise
            if remembered:
                raise ServiceRangeError(f"the range {remembered} belongs to another") from error
            existing = cluster.list(SERVICE_CIDRS)
        else:
            return cidr
    raise ServiceRangeError("other tenants took every range that was tried; trying again")


def remove(cluster: Cluster, key: str) -> None:
    """Ask for deletion of the tenant's ranges; each goes when no Service has an address of it."""
    for found in cluster.list(SERVICE_CIDRS, selector=f"{api.TENANT_LABEL}={key}"):
        metadata = found["metadata"]
        if "deletionTimestamp" not in metadata:
            cluster.delete(SERVICE_CIDRS, metadata["name"], uid=metadata["uid"])


def _owner(service_cidr: Object) -> str | None:
    labels = service_cidr["metadata"].get("labels") or {}
    owner = labels.get(api.TENANT_LABEL)
    return None if owner is None else str(owner)
