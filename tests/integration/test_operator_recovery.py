"""Whatever is killed, lost or changed behind the operator's back: the end state is the same."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from kube.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICE_CIDRS,
    SERVICES,
    Resource,
)
from tests.integration.operator_process import OperatorProcess, running_operator
from tests.integration.super_cluster import SuperCluster
from tests.integration.virtual_clusters import TenantUnderTest, create
from tests.integration.waiting import eventually
from vcluster import api
from vcluster.api import Object
from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.resources import (
    CLUSTER_ROLE_BINDINGS,
    DEPLOYMENTS,
    FLOW_SCHEMAS,
)
from vcluster.pki import certificates

pytestmark = pytest.mark.integration

MILESTONES: dict[str, Callable[[TenantUnderTest], object]] = {
    "the finalizer is set": lambda tenant: metadata_of(tenant).get("finalizers"),
    "the key is in the status": lambda tenant: tenant.status().get("tenantKey"),
    "the root namespace exists": lambda tenant: tenant.super_cluster.cluster.get(
        NAMESPACES, tenant.key
    ),
    "the service range exists": TenantUnderTest.service_ranges,
    "the ports are chosen": lambda tenant: (tenant.directory / "ports.json").exists(),
    "the keys are on disk": lambda tenant: (tenant.directory / "pki" / "ca.key").exists(),
    "the etcd role exists": lambda tenant: tenant.key in tenant.super_cluster.etcd_names("role"),
    "the etcd user exists": lambda tenant: tenant.key in tenant.super_cluster.etcd_names("user"),
    "the programs run": lambda tenant: tenant.processes(),
    "the first Secret exists": lambda tenant: tenant.secret(certificates.CLUSTER_AUTHORITY),
    "the kubeconfigs exist": lambda tenant: tenant.secret(api.SYNCER_KUBECONFIG_SECRET),
    "the endpoint is in the status": lambda tenant: tenant.status().get("endpoint"),
    "the control plane is ready": lambda tenant: (
        tenant.condition("ControlPlaneReady").get("status") == "True"
    ),
}


def test_killed_at_each_step_of_a_creation_it_ends_as_if_it_had_not_been(
    super_cluster: SuperCluster, tmp_path: Path
) -> None:
    operator = OperatorProcess(super_cluster)
    tenant = create(super_cluster, "killed")
    for milestone in MILESTONES:
        operator.start()
        tenant_reaches(milestone, tenant)
        operator.kill()
    before = tenant.secret(certificates.CLUSTER_AUTHORITY)
    with running_operator(super_cluster):
        tenant.wait_until_ready()
        assert tenant.secret(certificates.CLUSTER_AUTHORITY) == before
        # Its API server makes them, after it says that it is ready.
        eventually(
            "it has its own namespaces", lambda: len(tenant.cluster(tmp_path).list(NAMESPACES)) >= 4
        )
        assert len(tenant.service_ranges()) == 1
        assert sorted(tenant.processes()) == ["kube-apiserver", "kube-controller-manager"]
        tenant.delete()
        tenant.wait_until_nothing_is_left()


def test_killed_while_it_deletes_it_finishes_afterwards(super_cluster: SuperCluster) -> None:
    operator = OperatorProcess(super_cluster)
    operator.start()
    tenant = create(super_cluster, "half-gone")
    tenant.wait_until_ready()
    tenant.delete()
    eventually("the deletion has begun", lambda: not tenant.processes())
    operator.kill()
    with running_operator(super_cluster):
        tenant.wait_until_nothing_is_left()


@pytest.mark.parametrize("milestone", ["the root namespace exists", "the programs run"])
def test_deleted_while_it_is_created_nothing_is_left(
    super_cluster: SuperCluster, operator: OperatorProcess, milestone: str
) -> None:
    tenant = create(super_cluster, "regretted")
    tenant_reaches(milestone, tenant)
    tenant.delete()
    tenant.wait_until_nothing_is_left()
    eventually("the service range is gone", lambda: not tenant.service_ranges())


def test_deleted_though_its_api_server_never_came_up_nothing_is_left(
    super_cluster: SuperCluster, operator: OperatorProcess, tmp_path: Path
) -> None:
    operator.stop()  # with its programs the API server would come up
    (tmp_path / "etcdctl").symlink_to(super_cluster.state.binaries / "etcdctl")
    for program in ("kube-apiserver", "kube-controller-manager"):
        (tmp_path / program).symlink_to("/bin/false")
    with running_operator(super_cluster, binaries=tmp_path):
        tenant = create(super_cluster, "stillborn")
        eventually(
            "it says what it waits for",
            lambda: "kube-apiserver" in tenant.condition("ControlPlaneReady").get("message", ""),
        )
        assert tenant.status()["phase"] == "Provisioning"
        tenant.delete()
        tenant.wait_until_nothing_is_left()
    operator.start()
    operator.wait_until_ready()


@pytest.fixture(scope="module")
def tenant(super_cluster: SuperCluster, operator: OperatorProcess) -> Iterator[TenantUnderTest]:
    created = create(super_cluster, "drifting")
    created.wait_until_ready()
    yield created
    created.delete()
    created.wait_until_gone()


def test_a_control_plane_outlives_its_operator(
    tenant: TenantUnderTest, operator: OperatorProcess, tmp_path: Path
) -> None:
    before = tenant.processes()
    operator.kill()
    eventually("it answers", lambda: tenant.cluster(tmp_path).list(NAMESPACES))
    operator.start()
    operator.wait_until_ready()
    tenant.wait_until_ready()
    assert tenant.processes() == before


def test_told_to_end_it_ends_well(tenant: TenantUnderTest, operator: OperatorProcess) -> None:
    before = tenant.processes()
    assert operator.stop() == 0
    assert tenant.processes() == before
    operator.start()
    operator.wait_until_ready()


def test_a_killed_api_server_comes_back(tenant: TenantUnderTest, tmp_path: Path) -> None:
    before = eventually("one runs", lambda: tenant.processes()["kube-apiserver"])
    os.kill(before, signal.SIGKILL)
    eventually(
        "another one runs", lambda: tenant.processes()["kube-apiserver"] not in (0, before), 30
    )
    eventually("it answers", lambda: tenant.cluster(tmp_path).list(NAMESPACES))
    tenant.wait_until_ready()


@pytest.mark.parametrize("name", ["ca", "service-account", "front-proxy-ca", "etcd-client"])
def test_a_deleted_secret_is_restored_from_the_files(tenant: TenantUnderTest, name: str) -> None:
    before = tenant.secret(name)
    assert before is not None
    tenant.super_cluster.cluster.delete(SECRETS, name, tenant.key)
    restored = eventually(f"Secret {name} is back", lambda: tenant.secret(name))
    assert restored["data"] == before["data"]


def test_a_deleted_kubeconfig_is_made_again(tenant: TenantUnderTest, tmp_path: Path) -> None:
    name = api.ADMIN_KUBECONFIG_SECRET
    tenant.super_cluster.cluster.delete(SECRETS, name, tenant.key)
    eventually(f"Secret {name} is back", lambda: tenant.secret(name))
    eventually("it is accepted", lambda: tenant.cluster(tmp_path).list(NAMESPACES))


def test_etcds_role_and_user_are_put_right(tenant: TenantUnderTest) -> None:
    key, etcdctl = tenant.key, tenant.super_cluster.etcdctl
    right = etcdctl("role", "get", key).stdout
    assert etcdctl("role", "grant-permission", key, "read", "/super/", "--prefix").returncode == 0
    eventually(
        "the foreign permission is gone", lambda: etcdctl("role", "get", key).stdout == right, 30
    )
    assert etcdctl("user", "revoke-role", key, key).returncode == 0
    eventually("the user has its role", lambda: key in roles_of(tenant))
    assert etcdctl("user", "delete", key).returncode == 0
    eventually("the user is back", lambda: key in roles_of(tenant))
    tenant.wait_until_ready()


def test_bootstrap_objects_are_restored(tenant: TenantUnderTest, tmp_path: Path) -> None:
    emergency = tenant.cluster(tmp_path, api.EMERGENCY_KUBECONFIG_SECRET)
    for resource, name in (
        (CLUSTER_ROLE_BINDINGS, "virtualcluster:admins"),
        (CLUSTER_ROLE_BINDINGS, "virtualcluster:syncers"),
        (FLOW_SCHEMAS, "virtualcluster-syncer"),
    ):
        emergency.delete(resource, name)
        eventually(f"{name} is back", partial(emergency.get, resource, name))


OURS = {api.MANAGED_BY_LABEL: api.MANAGED_BY}


def is_gone(cluster: Cluster, resource: Resource, name: str) -> bool:
    return cluster.get(resource, name, "kube-system") is None


OF_DNS = [
    (DEPLOYMENTS, "coredns"),
    (SERVICES, "kube-dns"),
    (CONFIG_MAPS, "coredns"),
    (SERVICE_ACCOUNTS, "coredns"),
]


def test_cluster_dns_is_installed_restored_and_removed(
    tenant: TenantUnderTest, tmp_path: Path
) -> None:
    cluster = tenant.cluster(tmp_path)
    for resource, name in OF_DNS:
        found = partial(cluster.get, resource, name, "kube-system")
        eventually(f"{resource.plural} {name} is installed", found)
    service = cluster.get(SERVICES, "kube-dns", "kube-system")
    assert service is not None
    cidr = tenant.status()["serviceCIDR"]
    assert service["spec"]["clusterIP"] == api.service_address(cidr, api.DNS_INDEX)
    cluster.delete(DEPLOYMENTS, "coredns", "kube-system")
    back = partial(cluster.get, DEPLOYMENTS, "coredns", "kube-system")
    eventually("the deployment is back", back)
    tenant.patch({"spec": {"dns": {"enabled": False}}})
    for resource, name in OF_DNS:
        gone = partial(is_gone, cluster, resource, name)
        eventually(f"{resource.plural} {name} is removed", gone)
    # The condition is written after the objects went.
    eventually(
        "the condition says so",
        lambda: tenant.condition("DNSInstalled").get("reason") == "Disabled",
    )
    metadata = {"name": "coredns", "namespace": "kube-system"}
    cluster.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    # One that bears our label goes at the next look, which comes to it last.
    left = {"name": "kube-dns", "namespace": "kube-system", "labels": OURS}
    ports = {"ports": [{"port": 53}]}
    cluster.create(
        SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": left, "spec": ports}
    )
    gone = partial(is_gone, cluster, SERVICES, "kube-dns")
    eventually("it was looked at again", gone)
    assert cluster.get(CONFIG_MAPS, "coredns", "kube-system"), "it is the tenant's own"
    cluster.delete(CONFIG_MAPS, "coredns", "kube-system")
    tenant.wait_until_ready()
    tenant.patch({"spec": {"dns": {"enabled": True}}})
    eventually("the deployment is back", back)


def test_a_deleted_service_range_is_made_again(tenant: TenantUnderTest) -> None:
    [before] = tenant.service_ranges()
    tenant.super_cluster.cluster.delete(SERVICE_CIDRS, before["metadata"]["name"])

    def another() -> bool:
        found = tenant.service_ranges()
        return [one["spec"] for one in found] == [before["spec"]] and (
            found[0]["metadata"]["uid"] != before["metadata"]["uid"]
        )

    eventually("the same range is there again", another)
    tenant.wait_until_ready()


def test_an_authority_that_is_lost_everywhere_is_replaced_and_all_follows(
    tenant: TenantUnderTest, operator: OperatorProcess, tmp_path: Path
) -> None:
    before = tenant.kubeconfig(api.ADMIN_KUBECONFIG_SECRET)
    operator.kill()  # else a pass between the two losses restores the one from the other
    (tenant.directory / "pki" / "ca.key").unlink()
    tenant.super_cluster.cluster.delete(SECRETS, certificates.CLUSTER_AUTHORITY, tenant.key)
    operator.start()
    eventually(
        "there is another kubeconfig",
        lambda: tenant.kubeconfig(api.ADMIN_KUBECONFIG_SECRET) != before,
    )
    eventually("it is accepted", lambda: tenant.cluster(tmp_path).list(NAMESPACES))
    tenant.wait_until_ready()


def tenant_reaches(milestone: str, tenant: TenantUnderTest) -> None:
    eventually(milestone, lambda: MILESTONES[milestone](tenant))


def metadata_of(tenant: TenantUnderTest) -> Object:
    live = tenant.live()
    assert live is not None
    metadata: Object = live["metadata"]
    return metadata


def roles_of(tenant: TenantUnderTest) -> str:
    lines = tenant.super_cluster.etcdctl("user", "get", tenant.key).stdout.splitlines()
    return next((line for line in lines if line.startswith("Roles:")), "")
