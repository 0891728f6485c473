"""The environment of a super pod's containers shows the tenant's world."""

import pytest

from kube.objects import Object
from syncer.kinds.pod import to_super
from syncer.kinds.pod_containers import container
from syncer.kinds.pod_downward_api import ABSENT, FIELD_PATHS
from tests.unit.kinds.builders import ACME
from tests.unit.kinds.pod_builders import OFFERS, a_container, a_pod, down
from vcluster import api


def environment(item: Object) -> dict[str, Object]:
    return {variable["name"]: variable for variable in container(item, ACME)["env"]}


def test_every_container_finds_its_own_api_server() -> None:
    pod = a_pod(
        initContainers=[a_container("first")],
        containers=[a_container("a"), a_container("b")],
    )
    spec = down(pod)
    for item in (*spec["initContainers"], *spec["containers"]):
        shown = {variable["name"]: variable.get("value") for variable in item["env"]}
        assert shown == {
            "KUBERNETES_SERVICE_HOST": "10.101.5.1",
            "KUBERNETES_SERVICE_PORT": "443",
            "KUBERNETES_SERVICE_PORT_HTTPS": "443",
            "KUBERNETES_PORT": "tcp://10.101.5.1:443",
            "KUBERNETES_PORT_443_TCP": "tcp://10.101.5.1:443",
            "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
            "KUBERNETES_PORT_443_TCP_PORT": "443",
            "KUBERNETES_PORT_443_TCP_ADDR": "10.101.5.1",
        }


def test_a_variable_that_the_tenant_sets_itself_is_kept_and_not_set_twice() -> None:
    own = {"name": "KUBERNETES_SERVICE_HOST", "value": "api.example.com"}
    wanted = container(a_container(env=[own]), ACME)["env"]
    assert [v for v in wanted if v["name"] == "KUBERNETES_SERVICE_HOST"] == [own]


def test_variables_keep_their_order_after_ours_so_that_they_may_refer_to_them() -> None:
    own = [{"name": "B", "value": "$(KUBERNETES_SERVICE_HOST)"}, {"name": "A", "value": "$(B)"}]
    assert container(a_container(env=own), ACME)["env"][-2:] == own


@pytest.mark.parametrize(
    ("path", "translated"),
    [
        ("metadata.namespace", f"metadata.annotations['{api.NAMESPACE_ANNOTATION}']"),
        ("metadata.uid", f"metadata.annotations['{api.UID_ANNOTATION}']"),
        ("spec.serviceAccountName", f"metadata.annotations['{api.SERVICE_ACCOUNT_ANNOTATION}']"),
        (f"metadata.labels['{api.TENANT_LABEL}']", ABSENT),
        (f"metadata.annotations['{api.DIGEST_ANNOTATION}']", ABSENT),
        (
            f"metadata.annotations['{api.GANG_ANNOTATION}']",
            f"metadata.annotations['{api.GANG_ANNOTATION}']",
        ),
        ("metadata.name", "metadata.name"),
        ("metadata.labels['app']", "metadata.labels['app']"),
        ("metadata.annotations['note']", "metadata.annotations['note']"),
        ("spec.nodeName", "spec.nodeName"),
        ("status.podIP", "status.podIP"),
        ("status.hostIPs", "status.hostIPs"),
    ],
)
def test_the_downward_api_shows_the_tenants_values(path: str, translated: str) -> None:
    reference = {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}
    found = environment(a_container(env=[{"name": "A", "valueFrom": reference}]))["A"]
    assert found["valueFrom"] == {"fieldRef": {"apiVersion": "v1", "fieldPath": translated}}


def test_every_mark_that_the_downward_api_refers_to_is_on_the_mirror() -> None:
    marks = to_super(a_pod(), ACME, OFFERS)["metadata"]["annotations"]
    for path in FIELD_PATHS.values():
        assert path.removeprefix("metadata.annotations['").removesuffix("']") in marks


def test_the_root_ca_follows_its_new_name_everywhere() -> None:
    key = {"name": api.ROOT_CA_CONFIG_MAP, "key": "ca.crt", "optional": True}
    item = a_container(
        env=[{"name": "CA", "valueFrom": {"configMapKeyRef": key}}],
        envFrom=[{"prefix": "x", "configMapRef": {"name": api.ROOT_CA_CONFIG_MAP}}],
    )
    renamed = api.MIRRORED_ROOT_CA_CONFIG_MAP
    assert environment(item)["CA"]["valueFrom"] == {"configMapKeyRef": key | {"name": renamed}}
    source = {"prefix": "x", "configMapRef": {"name": renamed}}
    assert container(item, ACME)["envFrom"] == [source]


@pytest.mark.parametrize(
    "source",
    [
        {"configMapKeyRef": {"name": "settings", "key": "a"}},
        {"secretKeyRef": {"name": api.ROOT_CA_CONFIG_MAP, "key": "a"}},
        {"resourceFieldRef": {"resource": "limits.cpu"}},
        {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}},
    ],
    ids=lambda source: str(next(iter(source))),
)
def test_other_references_pass(source: Object) -> None:
    item = a_container(env=[{"name": "A", "valueFrom": source}])
    assert environment(item)["A"]["valueFrom"] == source


def test_a_secret_as_environment_passes() -> None:
    source = {"secretRef": {"name": api.ROOT_CA_CONFIG_MAP}}
    assert container(a_container(envFrom=[source]), ACME)["envFrom"] == [source]
