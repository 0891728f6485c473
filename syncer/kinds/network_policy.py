"""NetworkPolicies: selectors of namespaces stay within the tenant."""

from collections.abc import Sequence

from kube.objects import Object
from kube.resources import NETWORK_POLICIES
from syncer.kinds.mirror import DownwardKind, body, object_patch, super_metadata, with_digest
from syncer.kinds.pod_placement import namespace_selector
from vcluster.api import Tenant

PEERS = {"ingress": "from", "egress": "to"}


def to_super(policy: Object, tenant: Tenant) -> Object:
    """The super NetworkPolicy for a tenant's.

    A rule without peers and an ``ipBlock`` pass: they speak of addresses, not of namespaces.
    """
    wanted: Object = {
        "apiVersion": NETWORK_POLICIES.api_version,
        "kind": NETWORK_POLICIES.kind,
        "metadata": super_metadata(policy, tenant),
        **body(policy),
    }
    if spec := policy.get("spec"):
        wanted["spec"] = spec | {
            direction: _confined(spec[direction], peers, tenant)
            for direction, peers in PEERS.items()
            if spec.get(direction)
        }
    return with_digest(wanted)


def _confined(rules: Sequence[Object], peers: str, tenant: Tenant) -> list[Object]:
    return [
        rule | {peers: [_peer(peer, tenant) for peer in rule[peers]]} if rule.get(peers) else rule
        for rule in rules
    ]


def _peer(peer: Object, tenant: Tenant) -> Object:
    selector = peer.get("namespaceSelector")
    if selector is None:
        return peer  # the policy's own namespace, or addresses
    return peer | {"namespaceSelector": namespace_selector(selector, tenant)}


NETWORK_POLICY = DownwardKind(resource=NETWORK_POLICIES, to_super=to_super, patch=object_patch)
