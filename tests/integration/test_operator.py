"""The operator against a real super cluster: what a VirtualCluster becomes, and what is refused."""

import contextlib
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from kubernetes.client import ApiException

from kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SERVICE_CIDRS, SERVICES
from tests.integration.operator_process import OperatorProcess
from tests.integration.super_cluster import SuperCluster
from tests.integration.virtual_clusters import TenantUnderTest, a_virtual_cluster, create
from tests.integration.waiting import eventually
from vcluster import api
from vcluster.api import Object
from vcluster.control_plane.cluster import ApiError, Cluster
from vcluster.control_plane.resources import VIRTUAL_CLUSTER_CLASSES, VIRTUAL_CLUSTERS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tenant(super_cluster: SuperCluster, operator: OperatorProcess) -> Iterator[TenantUnderTest]:
    created = create(super_cluster, "team-a")
    created.wait_until_ready()
    yield created
    created.delete()
    created.wait_until_gone()


def test_status_tells_people_and_the_syncer_what_they_need(tenant: TenantUnderTest) -> None:
    # A slow answer to one probe takes the word back for a moment.
    eventually("the phase is Ready", lambda: tenant.status()["phase"] == "Ready")
    virtual_cluster = tenant.live()
    assert virtual_cluster is not None
    status = virtual_cluster["status"]
    assert status["kubernetesVersion"] == "v1.37.2"
    assert status["endpoint"].startswith("https://127.0.0.1:")
    seen = api.Tenant.from_object(virtual_cluster)
    assert (seen.key, seen.policy.pod_security, seen.nodes_mode) == (tenant.key, "baseline", "all")


def test_node_agents_are_told_who_signs_for_the_tenant_and_no_more(
    tenant: TenantUnderTest,
) -> None:
    cluster = tenant.super_cluster.cluster
    published = cluster.get(CONFIG_MAPS, api.CLIENT_CA_CONFIG_MAP, tenant.key)
    authority = tenant.secret("ca")
    assert published is not None
    assert authority is not None
    certificate = b64decode(authority["data"]["tls.crt"]).decode()
    assert published["data"].keys() == {api.CLIENT_CA_KEY, api.TOKEN_KEY_KEY}
    assert published["data"][api.CLIENT_CA_KEY] == certificate
    assert published["data"][api.TOKEN_KEY_KEY].startswith("-----BEGIN PUBLIC KEY-----")
    assert published["metadata"]["labels"] == {api.COMPONENT_LABEL: api.CLIENT_CA_COMPONENT}


def test_the_administrator_may_do_everything_without_system_masters(
    tenant: TenantUnderTest, tmp_path: Path
) -> None:
    administrator = tenant.cluster(tmp_path)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}}
    administrator.create(NAMESPACES, namespace)
    assert groups_of(tenant, api.ADMIN_KUBECONFIG_SECRET) == ["virtualcluster:admins"]
    assert groups_of(tenant, api.SYNCER_KUBECONFIG_SECRET) == ["virtualcluster:syncers"]
    assert groups_of(tenant, api.EMERGENCY_KUBECONFIG_SECRET) == ["system:masters"]
    assert tenant.kubeconfig(api.ADMIN_KUBECONFIG_SECRET)["current-context"] == "team-a"


def test_the_syncer_reads_but_cannot_rule(tenant: TenantUnderTest, tmp_path: Path) -> None:
    syncer = tenant.cluster(tmp_path, api.SYNCER_KUBECONFIG_SECRET)
    assert syncer.list(NAMESPACES)
    with pytest.raises(ApiError, match="Forbidden"):
        syncer.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "no"}}
        )


def test_strangers_may_only_ask_for_health(tenant: TenantUnderTest, tmp_path: Path) -> None:
    kubeconfig = tenant.kubeconfig(api.ADMIN_KUBECONFIG_SECRET)
    kubeconfig["users"][0]["user"] = {}
    stranger = connected(kubeconfig, tmp_path / "stranger")
    eventually("health is told", lambda: stranger.probe("/readyz") == (True, "ok"))
    with pytest.raises(ApiError, match="Unauthorized"):
        stranger.list(NAMESPACES)


def test_services_get_addresses_of_the_tenants_own_range(
    tenant: TenantUnderTest, tmp_path: Path
) -> None:
    cidr = tenant.status()["serviceCIDR"]
    service = tenant.cluster(tmp_path).get(SERVICES, "kubernetes", "default")
    assert service is not None
    assert service["spec"]["clusterIP"] == api.service_address(cidr, 1)
    [owned] = tenant.super_cluster.cluster.list(
        SERVICE_CIDRS, selector=f"{api.TENANT_LABEL}={tenant.key}"
    )
    assert owned["spec"]["cidrs"] == [cidr]


def test_the_super_cluster_accepts_addresses_of_that_range(tenant: TenantUnderTest) -> None:
    address = api.service_address(tenant.status()["serviceCIDR"], 77)
    cluster = tenant.super_cluster.cluster
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "same-address", "namespace": tenant.key},
        "spec": {"clusterIP": address, "ports": [{"port": 80}]},
    }
    # Applied, not created: a try whose answer was lost may have made it.
    created = eventually("the range is in use", lambda: cluster.apply(SERVICES, service))
    assert created["spec"]["clusterIP"] == address
    cluster.delete(SERVICES, "same-address", tenant.key)


def test_a_tenants_etcd_certificate_opens_its_own_prefix_only(
    tenant: TenantUnderTest, super_cluster: SuperCluster
) -> None:
    certificate = tenant.directory / "pki" / "etcd-client.crt"

    def read(prefix: str) -> tuple[int, str]:
        done = super_cluster.etcdctl(
            "get", prefix, "--prefix", "--keys-only", certificate=certificate
        )
        return done.returncode, done.stdout + done.stderr

    code, output = read(f"/{tenant.key}/")
    assert code == 0, output
    assert "/namespaces/kube-system" in output
    for foreign in ("/super/", "/", f"/{tenant.key}"):
        code, output = read(foreign)
        assert code != 0
        assert "permission denied" in output


def test_no_key_is_readable_by_others_and_nothing_listens_beyond_loopback(
    tenant: TenantUnderTest,
) -> None:
    files = [path for path in tenant.directory.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in [tenant.directory, *files]:
        with contextlib.suppress(FileNotFoundError):  # a temporary one, renamed meanwhile
            assert path.stat().st_mode & 0o077 == 0, path
    ports = msgspec.json.decode((tenant.directory / "ports.json").read_bytes(), type=dict[str, int])
    assert ports_open_to_the_network().isdisjoint(ports.values())


def test_the_log_holds_no_keys(tenant: TenantUnderTest, operator: OperatorProcess) -> None:
    assert "PRIVATE KEY" not in operator.log


def test_events_tell_what_happened(tenant: TenantUnderTest) -> None:
    def told() -> bool:
        events = tenant.super_cluster.cluster.list(EVENTS, tenant.namespace)
        reasons = {one["reason"] for one in events if one["involvedObject"]["uid"] == tenant.uid}
        return {"Starting", "Healthy", "Applied"} <= reasons

    eventually("all is told", told)  # after the status was written


def test_tenants_of_the_same_name_do_not_meet(
    super_cluster: SuperCluster, operator: OperatorProcess, tenant: TenantUnderTest, tmp_path: Path
) -> None:
    before = tenant.processes()
    other = create(super_cluster, tenant.name, "other-tenants")
    other.wait_until_ready()
    assert other.key != tenant.key
    assert other.status()["serviceCIDR"] != tenant.status()["serviceCIDR"]
    foreign = other.kubeconfig(api.ADMIN_KUBECONFIG_SECRET)
    foreign["clusters"] = tenant.kubeconfig(api.ADMIN_KUBECONFIG_SECRET)["clusters"]
    assert tenant.cluster(tmp_path).list(NAMESPACES)
    with pytest.raises(ApiError, match="Unauthorized"):
        connected(foreign, tmp_path / "foreign").list(NAMESPACES)
    other.delete()
    other.wait_until_nothing_is_left()
    assert tenant.processes() == before
    tenant.wait_until_ready()


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        ("a" * 41, {}, "at most 40 characters"),
        ("1st", {}, "starts with a letter"),
        ("team.a", {}, "DNS label"),
        ("team-b", {"kubernetesVersion": "v1.20.0"}, "spec.kubernetesVersion"),
        ("team-b", {"controlPlane": {"provisioner": "magic"}}, "spec.controlPlane.provisioner"),
        ("team-b", {"scheduling": {"weight": 0}}, "spec.scheduling.weight"),
        ("team-b", {"scheduling": {"weight": 101}}, "spec.scheduling.weight"),
        ("team-b", {"nodes": {"mode": "some"}}, "spec.nodes.mode"),
        ("team-b", {"policy": {"podSecurity": "none"}}, "spec.policy.podSecurity"),
    ],
)
def test_wrong_specs_are_refused_at_admission(
    super_cluster: SuperCluster, name: str, spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(ApiError, match=said):
        super_cluster.cluster.create(VIRTUAL_CLUSTERS, a_virtual_cluster(name, "default", **spec))


WIDGETS = {"group": "example.com", "version": "v1", "plural": "widgets", "kind": "Widget"}


@pytest.mark.parametrize(
    ("sync", "said"),
    [
        ({"customResources": [WIDGETS | {"group": "apps"}]}, "customResources.0..group"),
        ({"customResources": [WIDGETS | {"group": "networking.k8s.io"}]}, "Kubernetes' own kinds"),
        (
            {"customResources": [WIDGETS | {"direction": "sideways"}]},
            "customResources.0..direction",
        ),
        ({"customResources": [WIDGETS, WIDGETS]}, "Duplicate"),
        (
            {"customResources": [WIDGETS | {"references": [{"path": "a.b", "kind": "Secret"}]}]},
            "references.0..path",
        ),
        (
            {
                "customResources": [
                    WIDGETS
                    | {"direction": "up", "references": [{"path": "spec.a", "kind": "Secret"}]}
                ]
            },
            "leave them out with direction up",
        ),
        ({"ingressAnnotations": ["*"]}, "ingressAnnotations.0."),
    ],
)
def test_wrong_options_of_a_class_are_refused_at_admission(
    super_cluster: SuperCluster, sync: dict[str, Any], said: str
) -> None:
    wrong = {
        "apiVersion": api.API_VERSION,
        "kind": "VirtualClusterClass",
        "metadata": {"name": "wrong"},
        "spec": {"sync": sync},
    }
    with pytest.raises(ApiError, match=said):
        super_cluster.cluster.create(VIRTUAL_CLUSTER_CLASSES, wrong)


def test_what_only_the_class_forbids_is_a_condition_with_the_fields_path(
    super_cluster: SuperCluster, operator: OperatorProcess
) -> None:
    super_cluster.cluster.apply(
        VIRTUAL_CLUSTER_CLASSES,
        {
            "apiVersion": api.API_VERSION,
            "kind": "VirtualClusterClass",
            "metadata": {"name": "tight"},
            "spec": {"policy": {"podSecurity": "restricted"}},
        },
    )
    loose = create(super_cluster, "loose", className="tight", policy={"podSecurity": "privileged"})
    condition = eventually("the spec is judged", lambda: loose.condition("SpecValid"))
    assert condition["status"] == "False"
    assert "spec.policy.podSecurity" in condition["message"]
    assert loose.status()["phase"] == "Failed"
    loose.delete()
    loose.wait_until_nothing_is_left()


def test_an_unknown_class_is_waited_for(
    super_cluster: SuperCluster, operator: OperatorProcess
) -> None:
    waiting = create(super_cluster, "early", className="later")
    eventually(
        "the class is missed",
        lambda: waiting.condition("SpecValid").get("reason") == "ClassNotFound",
    )
    super_cluster.cluster.apply(
        VIRTUAL_CLUSTER_CLASSES,
        {
            "apiVersion": api.API_VERSION,
            "kind": "VirtualClusterClass",
            "metadata": {"name": "later"},
        },
    )
    waiting.wait_until_ready()
    waiting.delete()
    waiting.wait_until_nothing_is_left()


def test_pods_cannot_outlast_their_tenant(
    super_cluster: SuperCluster, operator: OperatorProcess
) -> None:
    """Nobody ends pods of this node: a pod that waits for its kubelet is one that takes its time."""
    cluster, lasting = super_cluster.cluster, create(super_cluster, "lasting")
    lasting.wait_until_ready()
    namespace, labels = api.super_namespace(lasting.key, "web"), {api.TENANT_LABEL: lasting.key}
    node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "lasting"}}
    mirror = {"metadata": {"name": namespace, "labels": labels}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stays", "namespace": namespace, "labels": labels},
        "spec": {
            "nodeName": "lasting",
            "terminationGracePeriodSeconds": 1_000_000,
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "image": "demo"}],
        },
    }
    cluster.apply(NODES, node)
    cluster.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace"} | mirror)
    eventually("it takes pods", lambda: cluster.apply(PODS, pod))
    lasting.delete()

    def seconds() -> bool:
        found = cluster.get(PODS, "stays", namespace) or {"metadata": {}}
        return bool(found["metadata"].get("deletionGracePeriodSeconds", 0) == 30)

    eventually("it has 30 s", seconds)
    cluster.delete(PODS, "stays", namespace, grace_seconds=0)
    lasting.wait_until_nothing_is_left()
    cluster.delete(NODES, "lasting")


def test_a_change_of_the_spec_is_acted_upon_and_the_syncers_condition_stays(
    tenant: TenantUnderTest,
) -> None:
    syncing = {
        "type": "Syncing",
        "status": "True",
        "reason": "Running",
        "message": "",
        "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    conditions = tenant.status()["conditions"]
    tenant.patch({"status": {"conditions": [*conditions, syncing]}}, "status")
    tenant.patch({"spec": {"scheduling": {"weight": 7}}})
    eventually(
        "the weight is effective",
        lambda: tenant.status()["effective"]["scheduling"]["weight"] == 7,
    )
    tenant.wait_until_ready()
    assert tenant.condition("Syncing") == syncing


def test_the_version_cannot_be_taken_back(tenant: TenantUnderTest) -> None:
    tenant.patch({"spec": {"kubernetesVersion": "v1.37.2"}})
    with pytest.raises(ApiException, match="cannot be changed"):
        tenant.patch({"spec": {"kubernetesVersion": None}})


def groups_of(tenant: TenantUnderTest, secret: str) -> list[str]:
    """The groups of the certificate in a kubeconfig."""
    user = tenant.kubeconfig(secret)["users"][0]["user"]
    certificate = x509.load_pem_x509_certificate(b64decode(user["client-certificate-data"]))
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return [str(organization.value) for organization in organizations]


def connected(kubeconfig: dict[str, Any], path: Path) -> Cluster:
    path.write_text(yaml.safe_dump(kubeconfig))
    return Cluster.from_kubeconfig(str(path))


def ports_open_to_the_network() -> set[int]:
    """The TCP ports that somebody on this machine listens on beyond loopback."""
    listening = [
        connection.laddr
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    ]
    return {address.port for address in listening if address.ip not in ("127.0.0.1", "::1")}
