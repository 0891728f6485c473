"""NetworkPolicies: what they allow stays within what the isolation of tenants allows.

Policies add up: a pod may do what any policy that selects it allows. So each of a tenant's rules is
confined to the tenant's own namespaces and to what is outside the cluster (isolation.py does the same
for pods that no policy of the tenant selects).
"""

import functools
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from kube.objects import Object
from kube.resources import NETWORK_POLICIES
from syncer.kinds.mirror import (
    DownwardKind,
    Refused,
    body,
    object_patch,
    super_metadata,
    with_digest,
)
from syncer.kinds.pod_placement import namespace_selector
from vcluster.api import Tenant

PEERS = {"ingress": "from", "egress": "to"}
ISOLATION_PREFIX = "virtualcluster-isolation-"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
NEVER_REACHED = tuple(
    ipaddress.ip_network(cidr) for cidr in ("169.254.0.0/16", "127.0.0.0/8", "fe80::/10", "::1/128")
)
"""Loopback and link-local; the latter holds the metadata of cloud machines."""
MAPPED = ipaddress.ip_network("::ffff:0:0/96")
"""IPv4 in another guise: API servers take no block of it, and no exception."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """The super cluster's own addresses."""

    pods: tuple[Network, ...] = ()
    """All tenants' pods: reached by selectors only."""
    denied: tuple[Network, ...] = ()
    """Services, nodes, API servers: reached by no tenant's pod."""
    gateway: str = ""
    """Where pods reach their own tenant's API server, if that is among the denied."""

    @classmethod
    def parse(cls, pods: Sequence[str], denied: Sequence[str], gateway: str = "") -> Self:
        """Raises ValueError for what is no range."""
        all_pods, closed = (
            tuple(ipaddress.ip_network(cidr) for cidr in part) for part in (pods, denied)
        )
        return cls(all_pods, closed, gateway)

    def closed(self, direction: str) -> tuple[Network, ...]:
        """What no address block may open. Balancers and node ports come in from the nodes."""
        return self.pods if direction == "ingress" else (*self.pods, *self.denied, *NEVER_REACHED)


def network_policy_kind(ranges: Ranges = Ranges()) -> DownwardKind:
    """The kind, for a super cluster with these ranges."""
    return DownwardKind(
        resource=NETWORK_POLICIES,
        to_super=functools.partial(to_super, ranges=ranges),
        patch=object_patch,
    )


def to_super(policy: Object, tenant: Tenant, ranges: Ranges) -> Object:
    """The super NetworkPolicy for a tenant's. Raises Refused."""
    name = policy["metadata"]["name"]
    if name.startswith(ISOLATION_PREFIX):
        message = f"{name!r}: names that start with {ISOLATION_PREFIX!r} are the cluster's own"
        raise Refused("metadata.name", "ReservedName", message)
    wanted: Object = {
        "apiVersion": NETWORK_POLICIES.api_version,
        "kind": NETWORK_POLICIES.kind,
        "metadata": super_metadata(policy, tenant),
        **body(policy),
    }
    if spec := policy.get("spec"):
        wanted["spec"] = spec | {
            direction: [
                rule
                | {
                    PEERS[direction]: _peers(
                        f"spec.{direction}[{index}]", direction, rule, tenant, ranges
                    )
                }
                for index, rule in enumerate(spec[direction])
            ]
            for direction in PEERS
            if spec.get(direction)
        }
    return with_digest(wanted)


def allowance(direction: str, tenant: Tenant, ranges: Ranges) -> list[Object]:
    """Whom a tenant's pods may speak to at most: each other, and the world outside."""
    closed = ranges.closed(direction)
    return [
        {"namespaceSelector": namespace_selector({}, tenant)},
        *({"ipBlock": _block(str(network), (), network, closed)} for network in EVERYWHERE),
    ]


def _peers(
    field: str, direction: str, rule: Object, tenant: Tenant, ranges: Ranges
) -> list[Object]:
    peers = rule.get(PEERS[direction])
    if not peers:
        return allowance(direction, tenant, ranges)
    return [
        _peer(f"{field}.{PEERS[direction]}[{index}]", peer, tenant, ranges.closed(direction))
        for index, peer in enumerate(peers)
    ]


def _peer(field: str, peer: Object, tenant: Tenant, closed: Sequence[Network]) -> Object:
    """A peer of selectors or of addresses, confined; one of neither is the policy's own namespace."""
    confined = dict(peer)
    if block := peer.get("ipBlock"):
        network = _network(f"{field}.ipBlock.cidr", block["cidr"])
        if any(_within(network, other) for other in (*closed, MAPPED)):
            message = (
                f"{block['cidr']!r} belongs to the cluster's own infrastructure; "
                "name pods by selectors"
            )
            raise Refused(f"{field}.ipBlock.cidr", "DeniedAddress", message)
        own = block.get("except") or ()
        confined["ipBlock"] = block | _block(block["cidr"], own, network, closed)
    if (selector := peer.get("namespaceSelector")) is not None:
        confined["namespaceSelector"] = namespace_selector(selector, tenant)
    return confined


def _network(field: str, cidr: str) -> Network:
    try:
        return ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        message = f"{cidr!r} is not a range of addresses, for example 192.0.2.0/24"
        raise Refused(field, "DeniedAddress", message) from None


def _block(cidr: str, own: Sequence[str], network: Network, closed: Sequence[Network]) -> Object:
    """The block without those parts that are closed."""
    parts = [str(other) for other in closed if _within(other, network)]
    excepted = list(dict.fromkeys([*own, *parts]))
    return {"cidr": cidr} | ({"except": excepted} if excepted else {})


def _within(inner: Network, outer: Network) -> bool:
    return (
        inner.version == outer.version
        and int(inner.network_address) & int(outer.netmask) == int(outer.network_address)
        and inner.prefixlen >= outer.prefixlen
    )
