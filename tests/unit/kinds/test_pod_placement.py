"""Where a super pod may run: what the tenant wishes, within its own namespaces and nodes."""

from typing import Any

import msgspec

from kube.objects import Object
from syncer.kinds.namespace import key_below
from tests.unit.kinds.builders import ACME
from tests.unit.kinds.pod_builders import a_pod, down
from vcluster import api

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
POOLED = msgspec.structs.replace(ACME, node_selector={"pool": "gpu"})
IN_POOL = {"key": "pool", "operator": "In", "values": ["gpu"]}
IN_ZONE = {"key": "zone", "operator": "In", "values": ["a"]}
ON_NODE = {"key": "metadata.name", "operator": "In", "values": ["node-7"]}


def node_terms(**spec: Any) -> Any:
    tenant = spec.pop("tenant", ACME)
    return down(a_pod(**spec), tenant)["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]


def test_a_pod_without_wishes_has_no_affinity() -> None:
    assert "affinity" not in down(a_pod())


def test_a_node_name_becomes_a_required_affinity() -> None:
    spec = down(a_pod(nodeName="node-7"))
    assert "nodeName" not in spec
    assert node_terms(nodeName="node-7") == [{"matchFields": [ON_NODE]}]


def test_a_node_name_narrows_each_alternative_and_leaves_the_rest() -> None:
    preferred = [{"weight": 1, "preference": {"matchExpressions": [IN_ZONE]}}]
    own = {
        "nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [IN_ZONE]}, {"matchFields": []}]},
            PREFERRED: preferred,
        }
    }
    found = down(a_pod(nodeName="node-7", affinity=own))["affinity"]["nodeAffinity"]
    assert found[REQUIRED]["nodeSelectorTerms"] == [
        {"matchExpressions": [IN_ZONE], "matchFields": [ON_NODE]},
        {"matchFields": [ON_NODE]},
    ]
    assert found[PREFERRED] == preferred


def test_pods_run_only_on_the_nodes_that_their_tenant_is_shown() -> None:
    assert node_terms(tenant=POOLED) == [{"matchExpressions": [IN_POOL]}]
    own = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [IN_ZONE]}]}}}
    assert node_terms(tenant=POOLED, affinity=own, nodeName="node-7") == [
        {"matchExpressions": [IN_POOL, IN_ZONE], "matchFields": [ON_NODE]}
    ]


def test_selectors_of_nodes_pass() -> None:
    spec = down(a_pod(nodeSelector={"zone": "a"}, tolerations=[{"operator": "Exists"}]))
    assert spec["nodeSelector"] == {"zone": "a"}
    assert spec["tolerations"] == [{"operator": "Exists"}]


# Affinity between pods.


def a_term(**fields: Any) -> Object:
    return {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}, **fields}


def translated(term: Object, labels: dict[str, str] | None = None) -> Object:
    """The term as each of its four places shows it."""
    both = {REQUIRED: [term], PREFERRED: [{"weight": 5, "podAffinityTerm": term}]}
    affinity = {"podAffinity": both, "podAntiAffinity": both}
    found = down(a_pod(labels=labels, affinity=affinity))["affinity"]
    assert found["podAffinity"] == found["podAntiAffinity"]
    (required,), (preferred,) = found["podAffinity"][REQUIRED], found["podAffinity"][PREFERRED]
    assert preferred == {"weight": 5, "podAffinityTerm": required}
    result: Object = required
    return result


def test_a_term_about_the_pods_own_namespace_passes() -> None:
    assert translated(a_term()) == a_term()


def test_named_namespaces_become_super_namespaces() -> None:
    found = translated(a_term(namespaces=["web", "other"]))
    assert found["namespaces"] == ["acme-1f3a9c2e-web", "acme-1f3a9c2e-other"]


def test_all_namespaces_means_all_of_the_tenants() -> None:
    found = translated(a_term(namespaceSelector={}))
    assert found["namespaceSelector"] == {"matchLabels": {api.TENANT_LABEL: ACME.key}}


def test_a_selector_of_namespaces_is_confined_to_the_tenants() -> None:
    selector = {
        "matchLabels": {"team": "x", api.TENANT_LABEL: "other-0a1b2c3d"},
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["web"]}
        ],
    }
    assert translated(a_term(namespaceSelector=selector))["namespaceSelector"] == {
        "matchLabels": {
            key_below("team"): "x",
            key_below(api.TENANT_LABEL): "other-0a1b2c3d",
            api.TENANT_LABEL: ACME.key,
        },
        "matchExpressions": [{"key": api.NAMESPACE_LABEL, "operator": "NotIn", "values": ["web"]}],
    }


def test_a_namespace_selected_by_name_is_found_under_our_label() -> None:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "web"}}
    found = translated(a_term(namespaceSelector=selector))["namespaceSelector"]
    assert found["matchLabels"] == {api.NAMESPACE_LABEL: "web", api.TENANT_LABEL: ACME.key}


# What the tenant's API server has merged into selectors, the super cluster's would refuse.

MERGED = {"key": "revision", "operator": "In", "values": ["5"]}
NOT_MERGED = {"key": "tier", "operator": "Exists"}


def test_label_keys_that_were_merged_into_a_selector_are_merged_again_below() -> None:
    selector = {"matchLabels": {"app": "a"}, "matchExpressions": [NOT_MERGED, MERGED]}
    term = a_term(matchLabelKeys=["revision"], labelSelector=selector)
    found = translated(term, labels={"revision": "5"})
    assert found == term | {"labelSelector": selector | {"matchExpressions": [NOT_MERGED]}}


def test_label_keys_that_must_differ_are_not_named_twice() -> None:
    merged = {"key": "tenant", "operator": "NotIn", "values": ["x"]}
    own = {"key": "tenant", "operator": "NotIn", "values": ["y"]}
    term = a_term(mismatchLabelKeys=["tenant"], labelSelector={"matchExpressions": [own, merged]})
    found = translated(term, labels={"tenant": "x"})
    assert found["labelSelector"] == {"matchExpressions": [own]}


def test_the_same_holds_for_topology_spread() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "matchLabelKeys": ["revision"],
        "labelSelector": {"matchLabels": {"app": "a"}, "matchExpressions": [MERGED]},
    }
    pod = a_pod(labels={"revision": "5"}, topologySpreadConstraints=[constraint])
    assert down(pod)["topologySpreadConstraints"] == [
        constraint | {"labelSelector": {"matchLabels": {"app": "a"}}}
    ]


def test_what_the_tenant_itself_has_written_into_a_selector_stays() -> None:
    """Without the label nothing was merged; and keys that must differ may be named twice."""
    selector = {"matchExpressions": [MERGED, {"key": "x", "operator": "NotIn", "values": ["2"]}]}
    term = a_term(matchLabelKeys=["revision"], mismatchLabelKeys=["x"], labelSelector=selector)
    assert translated(term, labels={"x": "1"}) == term
