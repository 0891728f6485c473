"""NetworkPolicies, downward."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.objects import Object
from syncer.kinds.mirror import Refused
from syncer.kinds.namespace import key_below
from syncer.kinds.network_policy import ISOLATION_PREFIX, Ranges, network_policy_kind
from tests.unit.kinds.builders import ACME, metadata
from vcluster import api

KEY = "kubernetes.io/metadata.name"
OWN = {api.TENANT_LABEL: ACME.key}
DIRECTIONS = [("ingress", "from"), ("egress", "to")]
PODS, SERVICES, NODES = "10.128.0.0/12", "10.96.0.0/12", "192.168.7.0/24"
KIND = network_policy_kind(Ranges.parse([PODS, "fd00:1::/64"], [SERVICES, NODES]))
LOCAL = ["169.254.0.0/16", "127.0.0.0/8"]
LOCAL6 = ["fe80::/10", "::1/128"]
OUTSIDE = {
    "ingress": [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [PODS]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fd00:1::/64"]}},
    ],
    "egress": [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [PODS, SERVICES, NODES, *LOCAL]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fd00:1::/64", *LOCAL6]}},
    ],
}


def a_policy(**spec: Any) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata("deny"),
        "spec": {"podSelector": {"matchLabels": {"app": "shop"}}, **spec},
    }


def spec_below(policy: Object) -> Object:
    before = copy.deepcopy(policy)
    wanted = KIND.to_super(policy, ACME)
    assert wanted is not None
    assert policy == before, "what was given is not changed"
    spec: Object = wanted["spec"]
    return spec


@pytest.mark.parametrize(("direction", "peers"), DIRECTIONS)
@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, {"matchLabels": OWN}),
        ({"matchLabels": {"team": "a"}}, {"matchLabels": {key_below("team"): "a"} | OWN}),
        ({"matchLabels": {KEY: "web"}}, {"matchLabels": {api.NAMESPACE_LABEL: "web"} | OWN}),
        (
            {"matchLabels": {api.TENANT_LABEL: "another-0a1b2c3d"}},
            {"matchLabels": {key_below(api.TENANT_LABEL): "another-0a1b2c3d"} | OWN},
        ),
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
        {"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.7/32"]}},
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
        {"novel": {"x": 1}},
    ],
)
def test_what_allows_nothing_passes(spec: Object) -> None:
    policy = a_policy(**spec)
    assert spec_below(policy) == policy["spec"]


@pytest.mark.parametrize(("direction", "peers"), DIRECTIONS)
@pytest.mark.parametrize("rule", [{}, {"peers": []}, {"ports": [{"port": 53}]}])
def test_whoever_is_allowed_everything_is_allowed_what_the_isolation_allows(
    direction: str, peers: str, rule: Object
) -> None:
    own = {peers if key == "peers" else key: value for key, value in rule.items()}
    (found,) = spec_below(a_policy(**{direction: [own]}))[direction]
    everybody = [{"namespaceSelector": {"matchLabels": OWN}}, *OUTSIDE[direction]]
    assert found == own | {peers: everybody}


@pytest.mark.parametrize(
    ("cidr", "own", "excepted"),
    [
        ("0.0.0.0/0", ["203.0.113.0/24"], ["203.0.113.0/24", PODS, SERVICES, NODES, *LOCAL]),
        ("10.0.0.0/8", [], [PODS, SERVICES]),
        ("10.96.0.0/11", [PODS], [PODS, SERVICES]),
        ("192.168.0.0/16", [], [NODES]),
        ("172.16.0.0/12", [], []),
    ],
)
def test_a_block_is_open_except_for_the_clusters_own(
    cidr: str, own: list[str], excepted: list[str]
) -> None:
    block = {"cidr": cidr} | ({"except": own} if own else {})
    (rule,) = spec_below(a_policy(egress=[{"to": [{"ipBlock": block}]}]))["egress"]
    assert sorted(rule["to"][0]["ipBlock"].get("except", [])) == sorted({*excepted})


@pytest.mark.parametrize(
    "cidr", [PODS, "10.130.0.0/16", "192.168.7.1/32", "169.254.169.254/32", "::ffff:10.96.0.1/128"]
)
def test_a_block_of_the_clusters_own_is_refused(cidr: str) -> None:
    policy = a_policy(egress=[{"to": [{"podSelector": {}}, {"ipBlock": {"cidr": cidr}}]}])
    with pytest.raises(Refused, match=r"spec\.egress\[0\]\.to\[1\]\.ipBlock\.cidr"):
        spec_below(policy)


def test_balancers_come_in_from_the_nodes() -> None:
    (rule,) = spec_below(a_policy(ingress=[{"from": [{"ipBlock": {"cidr": NODES}}]}]))["ingress"]
    assert rule == {"from": [{"ipBlock": {"cidr": NODES}}]}


def test_the_names_of_the_isolation_are_taken() -> None:
    policy = a_policy()
    policy["metadata"]["name"] = f"{ISOLATION_PREFIX}egress-0"
    with pytest.raises(Refused, match=r"metadata\.name"):
        spec_below(policy)


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
