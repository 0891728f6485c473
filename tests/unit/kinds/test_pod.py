"""A tenant's pod on its way down: what is translated, what is left out, what passes."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube.objects import Object
from syncer.kinds.mirror import Refused
from syncer.kinds.pod import TENANT_ONLY, mutable_digest, to_super, token_requests
from tests.unit.kinds.builders import ACME, TENANT_UID
from tests.unit.kinds.pod_builders import NOTHING_OFFERED, OFFERS, a_container, a_pod, down
from vcluster import api

SEARCHES = ["web.svc.cluster.local", "svc.cluster.local", "cluster.local"]
NDOTS = {"name": "ndots", "value": "5"}

words = st.text("abc", min_size=1, max_size=2)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=3),
    max_leaves=4,
)
# A prefix, so that no generated name is one that Kubernetes has.
unknown = st.dictionaries(words.map("future-{}".format), values, max_size=3)


@settings(max_examples=50)
@given(in_spec=unknown, in_container=unknown, in_volume=unknown, in_environment=unknown)
def test_a_field_that_the_syncer_does_not_know_goes_down(
    in_spec: Object, in_container: Object, in_volume: Object, in_environment: Object
) -> None:
    variable = {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    pod = a_pod(
        containers=[a_container(env=[variable | in_environment], **in_container)],
        initContainers=[a_container("init", **in_container)],
        volumes=[{"name": "v", "configMap": {"name": "c", **in_volume}, **in_volume}],
        **in_spec,
    )
    spec = down(pod)
    assert {field: spec[field] for field in in_spec} == in_spec
    for item in (*spec["containers"], *spec["initContainers"]):
        assert {field: item[field] for field in in_container} == in_container
    arrived = spec["containers"][0]["env"][-1]
    assert {field: arrived[field] for field in in_environment} == in_environment
    for item in (spec["volumes"][0], spec["volumes"][0]["configMap"]):
        assert {field: item[field] for field in in_volume} == in_volume


def test_a_translation_changes_nothing_of_what_it_is_given() -> None:
    pod = a_full_pod()
    before = copy.deepcopy(pod)
    to_super(pod, ACME, OFFERS)
    mutable_digest(pod, ACME)
    assert pod == before


def a_full_pod() -> Object:
    """Of everything that is translated, some."""
    variables = [
        {"name": "U", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": api.ROOT_CA_CONFIG_MAP}}},
    ]
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": api.ROOT_CA_CONFIG_MAP}},
        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.uid"}}]}},
    ]
    term = {
        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]},
        "matchLabelKeys": ["app"],
        "namespaces": ["other"],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}},
        "topologyKey": "zone",
    }
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return a_pod(
        labels={"app": "a"},
        affinity={"podAffinity": required, "podAntiAffinity": copy.deepcopy(required)},
        containers=[a_container(env=variables, envFrom=[{"configMapRef": {"name": "c"}}])],
        dnsPolicy="ClusterFirst",
        dnsConfig={"nameservers": ["10.0.0.1"], "searches": ["a"], "options": [{"name": "b"}]},
        ephemeralContainers=[a_container("debug")],
        nodeName="node-1",
        priorityClassName="batch",
        schedulingGates=[{"name": "a/b"}],
        topologySpreadConstraints=[copy.deepcopy(term)],
        volumes=[
            {"name": "p", "projected": {"sources": sources}},
            {"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        ],
    )


def test_a_mirror_has_its_own_name_and_the_marks_of_its_source() -> None:
    pod = a_pod(serviceAccountName="robot", schedulingGates=[{"name": "a/b"}, {"name": "c"}])
    pod["metadata"] |= {"labels": {"app": "shop"}, "annotations": {"note": "x"}, "generation": 3}
    mirror = to_super(pod, ACME, OFFERS)
    found = mirror["metadata"]
    assert (found["name"], found["namespace"]) == ("shop", "acme-1f3a9c2e-web")
    assert found["labels"]["app"] == "shop"
    assert found["labels"][api.TENANT_LABEL] == ACME.key
    marks = found["annotations"]
    assert marks["note"] == "x"
    assert marks[api.NAMESPACE_ANNOTATION] == "web"
    assert marks[api.UID_ANNOTATION] == TENANT_UID
    assert marks[api.GENERATION_ANNOTATION] == "3"
    assert marks[api.SERVICE_ACCOUNT_ANNOTATION] == "robot"
    assert marks[api.SCHEDULING_GATES_ANNOTATION] == "a/b c"
    assert marks[api.DIGEST_ANNOTATION] == mutable_digest(pod, ACME)
    assert not {"ownerReferences", "finalizers", "managedFields", "resourceVersion"} & set(found)
    assert "status" not in mirror


def test_a_mark_that_the_tenant_sets_itself_is_refused() -> None:
    pod = a_pod(labels={api.TENANT_LABEL: "other-0a1b2c3d"})
    with pytest.raises(Refused, match=r"metadata\.labels.*virtualcluster\.dev/tenant"):
        down(pod)


def test_labels_that_binding_adds_stay_on_their_side() -> None:
    pod = a_pod(labels={"topology.kubernetes.io/zone": "a", "app": "shop"})
    labels = to_super(pod, ACME, OFFERS)["metadata"]["labels"]
    assert "app" in labels
    assert "topology.kubernetes.io/zone" not in labels


@pytest.mark.parametrize("field", sorted(set(TENANT_ONLY) - {"serviceAccountName"}))
def test_what_only_exists_in_the_tenant_stays_there(field: str) -> None:
    values: dict[str, Any] = {"ephemeralContainers": [a_container("debug")], "priority": 7}
    pod = a_pod()
    pod["spec"][field] = values.get(field, "a-name")
    assert field not in down(pod)


def test_super_pods_run_without_an_identity_of_the_super_cluster() -> None:
    spec = down(a_pod(serviceAccountName="robot", automountServiceAccountToken=True))
    assert spec["serviceAccountName"] == "default"
    assert spec["automountServiceAccountToken"] is False


def test_debug_containers_that_came_early_are_seen_as_missing_below() -> None:
    pod = a_pod(ephemeralContainers=[a_container("debug")])
    marks = to_super(pod, ACME, OFFERS)["metadata"]["annotations"]
    assert marks[api.DIGEST_ANNOTATION] != mutable_digest(pod, ACME)


# Classes.


def test_an_offered_priority_class_goes_down_by_its_name_alone() -> None:
    spec = down(a_pod(priorityClassName="batch", priority=7, preemptionPolicy="Never"))
    assert spec["priorityClassName"] == "batch"
    assert not {"priority", "preemptionPolicy"} & set(spec)


def test_a_priority_class_that_is_not_offered_is_left_out_together_with_the_priority() -> None:
    spec = down(a_pod(priorityClassName="system-node-critical", priority=2_000_001_000))
    assert not {"priorityClassName", "priority", "preemptionPolicy"} & set(spec)


def test_an_offered_runtime_class_goes_down() -> None:
    spec = down(a_pod(runtimeClassName="gvisor", overhead={"cpu": "1"}))
    assert spec["runtimeClassName"] == "gvisor"
    assert "overhead" not in spec, "the super cluster's admission computes it"


@pytest.mark.parametrize(("offers", "names"), [(OFFERS, "gvisor"), (NOTHING_OFFERED, "none")])
def test_any_other_runtime_class_is_refused_with_what_there_is(offers: Any, names: str) -> None:
    with pytest.raises(Refused, match=rf"spec\.runtimeClassName: 'kata' .*: {names}$"):
        down(a_pod(runtimeClassName="kata"), offers=offers)


# DNS.


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"dnsPolicy": "ClusterFirst"}, id="the default"),
        pytest.param({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, id="host"),
    ],
)
def test_pods_ask_their_tenants_own_dns(spec: Object) -> None:
    found = down(a_pod(**spec))
    assert found["dnsPolicy"] == "None"
    assert found["dnsConfig"] == {
        "nameservers": ["10.101.5.10"],
        "searches": SEARCHES,
        "options": [NDOTS],
    }


def test_a_pods_own_dns_settings_are_added_as_the_kubelet_would() -> None:
    own = {
        "nameservers": ["192.0.2.1", "10.101.5.10"],
        "searches": ["example.com", "cluster.local"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        "fieldOfTheFuture": 1,
    }
    assert down(a_pod(dnsPolicy="ClusterFirst", dnsConfig=own))["dnsConfig"] == {
        "nameservers": ["10.101.5.10", "192.0.2.1"],
        "searches": [*SEARCHES, "example.com"],
        "options": own["options"],
        "fieldOfTheFuture": 1,
    }


def test_dns_settings_never_exceed_what_an_api_server_takes() -> None:
    """Three servers are valid beside ClusterFirst, and too many once ours is among them."""
    servers = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    own = {"nameservers": servers, "searches": [f"{'x' * 60}{n}.example.com" for n in range(32)]}
    config = down(a_pod(dnsPolicy="ClusterFirst", dnsConfig=own))["dnsConfig"]
    assert config["nameservers"] == ["10.101.5.10", *servers[:2]]
    assert config["searches"][:3] == SEARCHES
    assert len(config["searches"]) <= 32
    assert len(" ".join(config["searches"])) <= 2048


@pytest.mark.parametrize("policy", ["Default", "None"])
def test_other_dns_policies_pass(policy: str) -> None:
    config = {"nameservers": ["192.0.2.1"]}
    spec = down(a_pod(dnsPolicy=policy, dnsConfig=config))
    assert (spec["dnsPolicy"], spec["dnsConfig"]) == (policy, config)


def test_a_pod_on_the_hosts_network_has_the_hosts_dns() -> None:
    spec = down(a_pod(dnsPolicy="ClusterFirst", hostNetwork=True))
    assert spec["dnsPolicy"] == "Default"
    assert "dnsConfig" not in spec


@pytest.mark.parametrize("field", ["hostname", "subdomain"])
def test_host_names_pass(field: str) -> None:
    pod = a_pod()
    pod["spec"][field] = "worker-0"
    assert down(pod)[field] == "worker-0"


# Tokens.


def test_a_full_hostname_is_the_tenants() -> None:
    spec = down(a_pod(subdomain="ring", setHostnameAsFQDN=True))
    assert spec["hostnameOverride"] == "shop.ring.web.svc.cluster.local"
    assert not spec["setHostnameAsFQDN"], "an API server refuses both together"
    assert spec["subdomain"] == "ring"


@pytest.mark.parametrize(
    "spec",
    [
        {"subdomain": "ring"},
        {"setHostnameAsFQDN": True},
        {"subdomain": "ring", "setHostnameAsFQDN": True, "hostNetwork": True},
        {"subdomain": "r" * 50, "setHostnameAsFQDN": True},
    ],
)
def test_no_other_pod_gets_another_hostname(spec: Object) -> None:
    sent = down(a_pod(**spec))
    assert "hostnameOverride" not in sent
    assert {field: sent[field] for field in spec} == spec


def test_the_same_token_is_asked_for_once() -> None:
    sources: list[Object] = [
        {"serviceAccountToken": {"path": "a"}},
        {"serviceAccountToken": {"path": "b", "expirationSeconds": 3600}},
        {"serviceAccountToken": {"path": "c", "audience": "vault"}},
        {"secret": {"name": "s"}},
    ]
    found = token_requests(a_pod(volumes=[{"name": "v", "projected": {"sources": sources}}]))
    assert [(token.audience, token.seconds) for token in found] == [("", 3600), ("vault", 3600)]


# The digest.

CHANGES: list[tuple[str, Object]] = [
    ("labels", {"metadata": {"labels": {"a": "b"}}}),
    ("annotations", {"metadata": {"annotations": {"a": "b"}}}),
    ("image", {"spec": {"containers": [a_container(image="example.com/main:2")]}}),
    ("resize", {"spec": {"containers": [a_container(resources={"limits": {"cpu": "1"}})]}}),
    ("pod resize", {"spec": {"resources": {"limits": {"cpu": "1"}}}}),
    ("toleration", {"spec": {"tolerations": [{"key": "a"}]}}),
    ("deadline", {"spec": {"activeDeadlineSeconds": 5}}),
    ("gate", {"spec": {"schedulingGates": [{"name": "a/b"}]}}),
    ("debug container", {"spec": {"ephemeralContainers": [a_container("debug")]}}),
    ("node selector", {"spec": {"nodeSelector": {"a": "b"}}}),
    ("affinity", {"spec": {"affinity": {"nodeAffinity": {}}}}),
]


@pytest.mark.parametrize(("change"), [change for _, change in CHANGES], ids=[n for n, _ in CHANGES])
def test_the_digest_tells_each_change_that_can_be_brought_down(change: Object) -> None:
    assert mutable_digest(_changed(a_pod(), change), ACME) != mutable_digest(a_pod(), ACME)


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"nodeName": "node-1"}},
        {"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}},
        {"metadata": {"resourceVersion": "99", "generation": 4, "managedFields": []}},
        {"status": {"phase": "Running"}},
    ],
    ids=["binding", "node labels", "versions", "status"],
)
def test_the_digest_stays_when_there_is_nothing_to_bring_down(change: Object) -> None:
    assert mutable_digest(_changed(a_pod(), change), ACME) == mutable_digest(a_pod(), ACME)


def _changed(pod: Object, change: Object) -> Object:
    return pod | {field: pod[field] | value for field, value in change.items()}


def test_devices_by_claim_are_refused_since_the_claims_are_not_mirrored() -> None:
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    with pytest.raises(Refused, match=r"spec\.resourceClaims: 'gpu': .*resources\.limits"):
        to_super(a_pod(resourceClaims=claims), ACME, OFFERS)
