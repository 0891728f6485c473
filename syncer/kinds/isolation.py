"""The isolation of tenants in the network: what holds for pods that no policy of the tenant selects.

NetworkPolicies only ever allow. A policy of ours for all pods of a namespace would allow what a policy
of the tenant's means to forbid; so ours select the pods that none of the tenant's selects.
"""

import itertools
from collections.abc import Sequence

from kube.objects import Object
from kube.resources import NETWORK_POLICIES
from syncer.kinds.mirror import digest
from syncer.kinds.network_policy import ISOLATION_PREFIX, PEERS, Ranges, allowance
from vcluster import api
from vcluster.api import Tenant

COMPONENT = "isolation"
MOST = 16
"""Policies for one direction; if a tenant's selectors need more, all its pods get the allowance."""

NEGATED = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}

Requirement = tuple[str, str, tuple[str, ...]]
"""Key, operator, values."""


def names(direction: str) -> list[str]:
    """The names of all policies that there may be."""
    return [f"{ISOLATION_PREFIX}{direction}-{number}" for number in range(MOST)]


def policies(
    super_namespace: str, tenant: Tenant, own: Sequence[Object], ranges: Ranges
) -> list[Object]:
    """The isolation of one super namespace, where ``own`` are the specs of the tenant's policies."""
    found = []
    for direction, peers in PEERS.items():
        kind = direction.capitalize()
        selectors = [
            spec.get("podSelector") or {} for spec in own if kind in (spec.get("policyTypes") or ())
        ]
        rules = [{peers: allowance(direction, tenant, ranges)}]
        if direction == "egress" and ranges.gateway and tenant.api_server_port:
            rules.append(_own_api_server(tenant, ranges.gateway))
        for name, selector in zip(names(direction), unselected(selectors), strict=False):
            spec = {"podSelector": selector, "policyTypes": [kind], direction: rules}
            found.append(_policy(name, super_namespace, tenant, spec))
    return found


def _own_api_server(tenant: Tenant, gateway: str) -> Object:
    """The way to it. Behind other ports of the same address are those of other tenants."""
    block = f"{gateway}/{'128' if ':' in gateway else '32'}"
    ports = [{"protocol": "TCP", "port": tenant.api_server_port}]
    return {"to": [{"ipBlock": {"cidr": block}}], "ports": ports}


def unselected(selectors: Sequence[Object]) -> list[Object]:
    """Selectors that together select what none of those given selects.

    Not (A and B) is not A or not B: one selector for each way to miss all of those given, by one
    requirement of each.
    """
    ways: set[tuple[Requirement, ...]] = {()}
    for selector in selectors:
        ways = {
            tuple(sorted({*way, missed}))
            for way, missed in itertools.product(ways, _negations(selector))
        }
        if len(ways) > MOST:
            return [{}]
    return [_selector(way) for way in sorted(ways)]


def _negations(selector: Object) -> list[Requirement]:
    labels: Object = selector.get("matchLabels") or {}
    return [
        *((key, "NotIn", (value,)) for key, value in labels.items()),
        *(
            (item["key"], NEGATED[item["operator"]], tuple(item.get("values") or ()))
            for item in selector.get("matchExpressions") or ()
        ),
    ]


def _selector(way: Sequence[Requirement]) -> Object:
    expressions = [
        {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
        for key, operator, values in way
    ]
    return {"matchExpressions": expressions} if expressions else {}


def _policy(name: str, namespace: str, tenant: Tenant, spec: Object) -> Object:
    return {
        "apiVersion": NETWORK_POLICIES.api_version,
        "kind": NETWORK_POLICIES.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                api.TENANT_LABEL: tenant.key,
                api.BUCKET_LABEL: tenant.bucket,
                api.COMPONENT_LABEL: COMPONENT,
            },
            "annotations": {api.DIGEST_ANNOTATION: digest(spec)},
        },
        "spec": spec,
    }
