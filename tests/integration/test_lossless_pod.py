"""Every field that the API server knows of a Pod arrives, or is listed here with the reason."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds import pod_status
from syncer.kinds.offers import Offers
from syncer.kinds.pod import to_super
from syncer.kinds.pod_containers import kubernetes_environment
from syncer.kinds.pod_hosts import with_own_hosts
from tests.integration.documents import schemas
from tests.integration.super_cluster import SuperCluster
from tests.openapi import OMIT, leaves
from vcluster import api, hosts_file
from vcluster.api import Tenant
from vcluster.sync import Sync

pytestmark = pytest.mark.integration

LOSSLESS = Tenant(
    key="lossless-0a1b2c3d",
    name="lossless",
    namespace="tenants",
    uid="11111111-1111-1111-1111-111111111111",
    service_cidr="10.199.7.0/24",
    sync=Sync(resource_claims=True),
)
TENANT_UID = "22222222-2222-2222-2222-222222222222"
OFFERS = Offers(frozenset({"priority-class-name"}), {"runtime-class-name": "runsc"})

LEFT_OUT = {
    "nodeName": "becomes a required node affinity",
    "serviceAccount": "the deprecated twin of the next",
    "schedulingGroup": "the syncer itself lets gangs go down whole",
    "schedulerName": "no such scheduler runs in the super cluster",
    "priority": "computed from the class by each side's own admission",
    "preemptionPolicy": "likewise",
    "overhead": "likewise, from the runtime class",
    "ephemeralContainers": "may only be added to a pod that exists",
    "volumes.ephemeral": "the tenant's controllers have made the claim already",
    "volumes.projected.sources.serviceAccountToken": "the tenant's token comes from a Secret",
    "volumes.projected.sources.clusterTrustBundle": "so do the tenant's trust bundles",
    "volumes.projected.sources.podCertificate": "and what the tenant's signers issue",
}
CHANGED = {
    "serviceAccountName": "default",
    "automountServiceAccountToken": False,
    "dnsPolicy": "None",
    "affinity.podAffinity.namespaces": "lossless-0a1b2c3d-namespaces",
    "affinity.podAntiAffinity.namespaces": "lossless-0a1b2c3d-namespaces",
    **{
        f"affinity.{kind}.namespaceSelector.matchExpressions.key": "namespace.virtualcluster.dev/key"
        for kind in ("podAffinity", "podAntiAffinity")
    },
}
NODE = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
ADDED = {
    f"{NODE}.matchFields.key",
    f"{NODE}.matchFields.operator",
    f"{NODE}.matchFields.values",
    "affinity.podAffinity.namespaceSelector.matchLabels",
    "affinity.podAntiAffinity.namespaceSelector.matchLabels",
    "dnsConfig.nameservers",
    "dnsConfig.options.name",
    "dnsConfig.options.value",
    "dnsConfig.searches",
    "volumes.persistentVolumeClaim.claimName",
    "volumes.projected.sources.secret.items.key",
    "volumes.projected.sources.secret.items.mode",
    "volumes.projected.sources.secret.items.path",
    "volumes.projected.sources.secret.name",
}
"""More of what is there already: the tenant's own values stay beside it."""


def every_field(super_cluster: SuperCluster) -> Object:
    """A PodSpec with each field; fields that exclude each other stand beside each other in lists."""
    spec: Object = schemas(super_cluster, "api/v1").example(
        "io.k8s.api.core.v1.PodSpec",
        {
            "dnsPolicy": "ClusterFirst",
            "hostNetwork": False,
            "resourceClaims[].resourceClaimTemplateName": OMIT,  # the claim is named instead
        },
    )
    spec["volumes"] = _one_each(spec["volumes"][0], "name")
    for volume in spec["volumes"]:
        if "projected" in volume:
            volume["projected"]["sources"] = _one_each(volume["projected"]["sources"][0])
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec[kind]:
            (variable,) = container["env"]
            sources = _one_each(variable["valueFrom"])
            container["env"] = [variable, *({"name": "x", "valueFrom": one} for one in sources)]
            container["envFrom"] = _one_each(container["envFrom"][0], "prefix")
    return spec


def _one_each(union: Object, *kept: str) -> list[Object]:
    common = {name: union[name] for name in kept}
    return [common | {name: value} for name, value in union.items() if name not in kept]


def a_pod(spec: Object) -> Object:
    metadata = {"name": "shop", "namespace": "web", "uid": TENANT_UID, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def sent(super_cluster: SuperCluster) -> Object:
    return every_field(super_cluster)


@pytest.fixture(scope="module")
def arrived(sent: Object) -> Object:
    spec: Object = to_super(a_pod(sent), LOSSLESS, OFFERS)["spec"]
    return spec


def test_every_field_goes_down_or_is_listed(sent: Object, arrived: Object) -> None:
    before = Counter(_fields(sent))
    after = Counter(_fields(_without_our_environment(arrived)))
    missing = {(path, value) for path, value in before - after if not _left_out(path)}
    assert {path for path, _ in missing} == set(CHANGED)
    added = {path: value for path, value in after - before if path not in ADDED}
    assert added == CHANGED
    assert {path for path, _ in after - before} == ADDED | set(CHANGED)


def test_what_is_listed_is_still_true(sent: Object, arrived: Object) -> None:
    """A list that nobody clears hides what it should show."""
    before = {path for path, _ in _fields(sent)}
    after = {path for path, _ in _fields(arrived)}
    for path in LEFT_OUT:
        assert any(_is_in(field, path) for field in before), f"no such field: {path}"
        assert not any(_is_in(field, path) for field in after), f"it does go down: {path}"


def test_our_init_container_leaves_every_field_alone(sent: Object) -> None:
    other = {"hostnameOverride", "setHostnameAsFQDN"}  # with these there is none
    spec = {field: value for field, value in sent.items() if field not in other}
    wanted = to_super(a_pod(spec), LOSSLESS, OFFERS)
    found = with_own_hosts(wanted, "web", "example.com/busybox:1")["spec"]
    assert hosts_file.NAME in str(found)
    assert hosts_file.in_spec(found) == wanted["spec"]


def test_each_container_gets_the_address_of_its_own_api_server(arrived: Object) -> None:
    for kind in ("initContainers", "containers"):
        for container in arrived[kind]:
            ours = container["env"][: len(kubernetes_environment(LOSSLESS))]
            shown = {variable["name"]: variable["value"] for variable in ours}
            assert shown == kubernetes_environment(LOSSLESS)


def test_every_reference_to_the_root_ca_follows_its_new_name(super_cluster: SuperCluster) -> None:
    """Wherever a PodSpec may name a ConfigMap, as the OpenAPI document tells."""
    spec = every_field(super_cluster)
    for reference in _config_map_references(spec):
        reference["name"] = api.ROOT_CA_CONFIG_MAP
    before = [path for path, value in leaves(spec) if value == api.ROOT_CA_CONFIG_MAP]
    assert len(before) > 8
    found = to_super(a_pod(spec), LOSSLESS, OFFERS)["spec"]
    assert api.ROOT_CA_CONFIG_MAP not in str(found)
    assert str(found).count(api.MIRRORED_ROOT_CA_CONFIG_MAP) == sum(
        not path.startswith("ephemeralContainers") for path in before
    )


def _config_map_references(spec: Object) -> Iterator[Object]:
    for field in ("configMap", "configMapRef", "configMapKeyRef"):
        for parent in _parents_of(spec, field):
            yield parent[field]


def test_the_downward_api_never_shows_the_super_clusters_values(
    super_cluster: SuperCluster,
) -> None:
    spec = every_field(super_cluster)
    for parent in _parents_of(spec, "fieldPath"):
        parent["fieldPath"] = "metadata.namespace"
    found = to_super(a_pod(spec), LOSSLESS, OFFERS)["spec"]
    paths = [parent["fieldPath"] for parent in _parents_of(found, "fieldPath")]
    assert len(paths) >= 4
    assert set(paths) == {f"metadata.annotations['{api.NAMESPACE_ANNOTATION}']"}


def _parents_of(value: Any, field: str) -> Iterator[Object]:
    if isinstance(value, dict):
        if field in value:
            yield value
        for item in value.values():
            yield from _parents_of(item, field)
    elif isinstance(value, list):
        for item in value:
            yield from _parents_of(item, field)


def test_every_field_of_the_status_goes_up_or_is_listed(super_cluster: SuperCluster) -> None:
    status = schemas(super_cluster, "api/v1").example("io.k8s.api.core.v1.PodStatus")
    metadata = {
        "name": "shop",
        "namespace": "lossless-0a1b2c3d-web",
        "resourceVersion": "1",
        "generation": 9,
        "annotations": {api.GENERATION_ANNOTATION: "4"},
    }
    ours = {"name": hosts_file.NAME, "ready": True}
    below = status | {"initContainerStatuses": [ours, *status["initContainerStatuses"]]}
    pod = {"metadata": metadata, "spec": {}, "status": below}
    view = pod_status.decode(msgspec.json.encode(pod))
    body = pod_status.to_tenant(view, qos="Burstable", namespace="web", own_conditions={})
    shown = dict(leaves(msgspec.json.decode(body)))
    differing = {
        path: shown.get(path) for path, value in leaves(status) if shown.get(path) != value
    }
    # Which claims there are below is not told.
    for path in [path for path in differing if path.startswith(pod_status.CLAIM_FIELDS)]:
        assert differing.pop(path) is None
    # The example says that the generation 7 of 9 was observed: two behind, so 2 of the tenant's 4.
    assert differing == {
        "qosClass": "Burstable",
        "observedGeneration": 2,
        "conditions[0].observedGeneration": 2,
    }
    above = {
        field: value for field, value in status.items() if field not in pod_status.CLAIM_FIELDS
    }
    assert shown.keys() == dict(leaves(above)).keys()


def _left_out(path: str) -> bool:
    return any(_is_in(path, field) for field in LEFT_OUT)


def _is_in(path: str, field: str) -> bool:
    return path == field or path.startswith(f"{field}.")


def _without_our_environment(spec: Object) -> Object:
    ours = len(kubernetes_environment(LOSSLESS))
    return spec | {
        kind: [item | {"env": item["env"][ours:]} for item in spec[kind]]
        for kind in ("initContainers", "containers")
    }


def _fields(spec: Object) -> Iterator[tuple[str, Any]]:
    """The leaves by field, whatever their places in lists and the keys of maps."""
    for path, value in leaves(spec):
        field = re.sub(r"\[\d+\]", "", path)
        field = re.sub(r"(matchLabels|nodeSelector|overhead|requests|limits)\..*", r"\1", field)
        kind = r"\.(required|preferred)DuringSchedulingIgnoredDuringExecution(\.podAffinityTerm)?"
        if field.startswith("affinity.pod"):
            field = re.sub(kind, "", field)
        yield field, value
