"""DNS as pods see it: stock CoreDNS in the tenant, on real nodes."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.local_system import Object, TenantCluster, wait_for
from tests.e2e.objects import service
from tests.e2e_real.containers import ANSWER, container_pod, is_ready, web_pod


@pytest.fixture(scope="module")
def named(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a with its DNS, a Service, and a StatefulSet behind a headless one."""
    wait_for("team-a's DNS is ready", lambda: _available(team_a, "kube-system", "coredns"))
    headless = {"clusterIP": "None", "publishNotReadyAddresses": True}
    team_a.apply(
        web_pod("named", "real-1"),
        service("named", ports=[{"port": 80, "targetPort": 8080}]),
        service("ring", ports=[{"port": 9000}], **headless),
        _ring(),
    )
    for pod in ("named", "ring-0", "ring-1"):
        wait_for(f"{pod} is ready", partial(is_ready, team_a, pod))
    yield team_a
    team_a.kubectl(
        "delete", "pod,service,statefulset", "named", "ring", "--wait=false", check=False
    )
    team_a.kubectl("delete", "service", "ring", "--wait=false", check=False)


def _available(tenant: TenantCluster, namespace: str, name: str) -> bool:
    found = tenant.get("deployment", name, namespace) or {}
    return bool(found.get("status", {}).get("availableReplicas"))


def _ring() -> Object:
    pod = container_pod("ring", "exec sleep 100000", terminationGracePeriodSeconds=0)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "ring"},
        "spec": {
            "serviceName": "ring",
            "replicas": 2,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "ring"}},
            "template": {"metadata": {"labels": {"app": "ring"}}, "spec": pod["spec"]},
        },
    }


def _in_ring(tenant: TenantCluster, script: str) -> str:
    return tenant.kubectl("exec", "ring-0", "--", "sh", "-c", script, check=False)


def _finds(tenant: TenantCluster, name: str, wanted: str) -> bool:
    """Whether a name, or an address, leads to what is wanted. DNS, a watcher itself, may be late."""
    return wanted in _in_ring(tenant, f"nslookup {name}")


@pytest.mark.parametrize("name", ["named", "named.default", "named.default.svc.cluster.local"])
def test_a_service_is_found_by_its_names(named: TenantCluster, name: str) -> None:
    # What is new comes to DNS, and to the node's rules for Services, a moment after it is ready.
    ask = f"timeout 9 wget -qO- http://{name}/"
    wait_for("it answers", lambda: _in_ring(named, ask) == f"{ANSWER}\n")


def test_members_of_a_stateful_set_find_each_other(named: TenantCluster) -> None:
    found = named.get("pod", "ring-1")
    assert found is not None
    address = found["status"]["podIP"]
    name = "ring-1.ring.default.svc.cluster.local"
    wait_for("its name leads to it", partial(_finds, named, name, address))
    wait_for("its address tells its name", partial(_finds, named, address, name))


def test_what_hostname_says_is_a_name_that_is_found(named: TenantCluster) -> None:
    own = _in_ring(named, "hostname -f").strip()
    assert own == "ring-0.ring.default.svc.cluster.local"
    found = named.get("pod", "ring-0")
    assert found is not None
    wait_for("it is found", partial(_finds, named, own, found["status"]["podIP"]))


def test_a_full_hostname_is_the_tenants(named: TenantCluster) -> None:
    options: Object = {"subdomain": "ring", "setHostnameAsFQDN": True}
    named.apply(container_pod("full", "exec sleep 100000", **options))
    wait_for("it is ready", lambda: is_ready(named, "full"))
    said = named.kubectl("exec", "full", "--", "hostname").strip()
    assert said == "full.ring.default.svc.cluster.local"
    named.kubectl("delete", "pod", "full", "--grace-period=0", "--force", check=False)
