"""NetworkPolicies, downward."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.objects import Object
from syncer.kinds.network_policy import NETWORK_POLICY
from tests.unit.kinds.builders import ACME, metadata
from vcluster import api

KEY = "kubernetes.io/metadata.name"
OWN = {api.TENANT_LABEL: ACME.key}
DIRECTIONS = [("ingress", "from"), ("egress", "to")]


def a_policy(**spec: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata("deny"),
        "spec": {"podSelector": {"matchLabels": {"app": "shop"}}, **spec},
    }


def spec_below(policy: Object) -> Object:
    before = copy.deepcopy(policy)
    wanted = NETWORK_POLICY.to_super(policy, ACME)
    assert wanted is not None
    assert policy == before, "what was given is not changed"
    spec: Object = wanted["spec"]
    return spec


@pytest.mark.parametrize(("direction", "peers"), DIRECTIONS)
@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, {"matchLabels": OWN}),
        ({"matchLabels": {"team": "a"}}, {"matchLabels": {"team": "a"} | OWN}),
        ({"matchLabels": {KEY: "web"}}, {"matchLabels": {api.NAMESPACE_LABEL: "web"} | OWN}),
        ({"matchLabels": {api.TENANT_LABEL: "another-0a1b2c3d"}}, {"matchLabels": OWN}),
        (
            {"matchExpressions": [{"key": KEY, "operator": "NotIn", "values": ["web"]}]},
            {
                "matchLabels": OWN,
                "matchExpressions": [
                    {"key": api.NAMESPACE_LABEL, "operator": "NotIn", "values": ["web"]}
                ],
            },
        ),
    ],
)
def test_namespaces_are_the_tenants_own(
    direction: str, peers: str, selector: Object, expected: Object
) -> None:
    pods = {"matchLabels": {"app": "front"}}
    rule = {peers: [{"namespaceSelector": selector, "podSelector": pods}], "ports": [{"port": 80}]}
    (found,) = spec_below(a_policy(**{direction: [rule]}))[direction]
    assert found["ports"] == rule["ports"]
    assert found[peers] == [{"namespaceSelector": expected, "podSelector": pods}]


@pytest.mark.parametrize(("direction", "peers"), DIRECTIONS)
@pytest.mark.parametrize(
    "peer",
    [
        {"podSelector": {"matchLabels": {KEY: "an ordinary label of a pod"}}},
        {"podSelector": {}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["192.0.2.0/24"]}},
        {"novel": {"x": 1}},
    ],
)
def test_other_peers_pass(direction: str, peers: str, peer: Object) -> None:
    policy = a_policy(**{direction: [{peers: [peer]}]})
    assert spec_below(policy) == policy["spec"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"policyTypes": ["Ingress", "Egress"]},
        {"ingress": [], "egress": []},
        {"ingress": [{}], "egress": [{"to": []}, {"ports": [{"port": 53, "protocol": "UDP"}]}]},
        {"novel": {"x": 1}},
    ],
)
def test_rules_without_peers_pass(spec: Object) -> None:
    policy = a_policy(**spec)
    assert spec_below(policy) == policy["spec"]


labels = st.dictionaries(
    st.sampled_from([KEY, api.TENANT_LABEL, "team"]), st.sampled_from(["web", "x"])
)
expressions = st.lists(
    st.fixed_dictionaries(
        {"key": st.sampled_from([KEY, api.TENANT_LABEL, "team"]), "operator": st.just("Exists")}
    )
)


@given(
    direction=st.sampled_from(DIRECTIONS),
    selectors=st.lists(
        st.fixed_dictionaries(
            {}, optional={"matchLabels": labels, "matchExpressions": expressions}
        ),
        min_size=1,
    ),
)
def test_no_selector_reaches_another_tenants_namespace(
    direction: tuple[str, str], selectors: list[Object]
) -> None:
    rules, peers = direction
    policy = a_policy(**{rules: [{peers: [{"namespaceSelector": one} for one in selectors]}]})
    for peer in spec_below(policy)[rules][0][peers]:
        selector = peer["namespaceSelector"]
        assert selector["matchLabels"][api.TENANT_LABEL] == ACME.key
        assert KEY not in str(selector)
