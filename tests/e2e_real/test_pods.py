"""A tenant's pods in containers: they run, reach each other and their own API server, and end."""

import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import service
from tests.e2e_real.containers import ANSWER, container_pod, is_ready, said, web_pod
from vcluster.local.real_nodes.images import TOOLBOX
from vcluster.local.real_nodes.site import KUBELET_PORT, Site
from vcluster.local.state import State

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@pytest.fixture(scope="module")
def web(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a, with a pod and a Service ``web``."""
    team_a.apply(web_pod("web", "real-1"), service("web", ports=[{"port": 80, "targetPort": 8080}]))
    wait_for("web is ready", lambda: is_ready(team_a, "web"))
    yield team_a
    team_a.kubectl("delete", "pod,service", "web", "--wait=false", check=False)


def site_of(local: LocalSystem) -> Site:
    site = State(local.state_directory).site()
    assert site is not None
    return site


def test_the_status_of_a_real_pod_goes_up(local: LocalSystem, web: TenantCluster) -> None:
    fields = ("phase", "podIP", "hostIP", "startTime", "containerStatuses")

    def in_step() -> Object | None:
        seen = is_ready(web, "web") or {"status": {}}
        below = local.super.get("pod", "web", web.super_namespace()) or {"status": {}}
        same = all(seen["status"].get(field) == below["status"].get(field) for field in fields)
        return seen if same and all(field in seen["status"] for field in fields) else None

    seen = wait_for("the tenant sees what the kubelet says", in_step)
    assert seen["spec"]["nodeName"] == "real-1"
    assert ip_address(seen["status"]["podIP"]) in site_of(local).nodes(2)[1].pod_range
    assert seen["status"]["containerStatuses"][0]["containerID"].startswith("containerd://")
    assert {"real-0", "real-1"} <= {node["metadata"]["name"] for node in web.items("nodes")}


def test_a_service_is_reached_from_another_node(web: TenantCluster) -> None:
    found = web.get("service", "web")
    assert found is not None
    address = found["spec"]["clusterIP"]
    # The other node may learn a moment later that there is an endpoint: until then it refuses.
    once = f"timeout 9 wget -qO- http://{address}/ 2> /dev/null"
    script = f"for _ in $(seq 60); do {once} && exit; sleep 1; done; exit 1"
    assert said(web, "client", script, node="real-0") == f"{ANSWER}\n"


def test_a_pod_that_is_not_root_reads_its_image(team_a: TenantCluster) -> None:
    nobody = {"runAsUser": 65534, "runAsNonRoot": True}
    assert said(team_a, "nobody", "id -u; ls -d /etc", securityContext=nobody) == "65534\n/etc\n"


def test_the_tenants_api_server_reaches_into_pods(web: TenantCluster) -> None:
    path = "/api/v1/namespaces/default/services/web:80/proxy/"
    # The API server knows the endpoint a moment after the pod is ready.
    wait_for("it answers", lambda: web.run("get", "--raw", path).stdout == f"{ANSWER}\n")


def test_a_pod_is_a_client_of_its_tenant_and_of_nobody_else(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    team_a.kubectl(
        "create", "rolebinding", "v", "--clusterrole=view", "--serviceaccount=default:default"
    )
    try:
        own = said(team_a, "own", "kubectl get pods -o name", image=TOOLBOX)
        assert "pod/own\n" in own
        elsewhere = said(team_a, "elsewhere", "kubectl get pods -n kube-system", image=TOOLBOX)
        assert 'User "system:serviceaccount:default:default" cannot list' in elsewhere
    finally:
        team_a.kubectl("delete", "rolebinding", "v")
    other = team_b.get("service", "kubernetes")
    assert other is not None
    for number, address in enumerate((other["spec"]["clusterIP"], "10.96.0.1")):
        command = f"kubectl --server=https://{address} --insecure-skip-tls-verify "
        command += f"--token=$(cat {TOKEN}) --kubeconfig=/dev/null get pods"
        answer = said(team_a, f"stranger-{number}", command, image=TOOLBOX)
        assert "You must be logged in to the server" in answer


def test_the_endpoints_of_kubernetes_are_shown(local: LocalSystem, team_a: TenantCluster) -> None:
    gateway = str(site_of(local).gateway)
    selector = "kubernetes.io/service-name=kubernetes"
    [own] = team_a.items("endpointslices", "-l", selector)
    assert own["endpoints"][0]["addresses"] == [gateway]
    [below] = local.super.items("endpointslices", "-n", team_a.super_namespace(), "-l", selector)
    assert below["endpoints"][0]["addresses"] == [gateway]
    # Another port of the gateway is another API server's.
    own["ports"][0]["port"] = State(local.state_directory).ports["kube-apiserver"]
    own["metadata"] = {"name": "mine", "labels": {"kubernetes.io/service-name": "mine"}}
    team_a.apply(own)
    event = wait_for("it is refused", lambda: team_a.events("mine"))[0]
    assert event["reason"] == "DeniedAddress"
    team_a.kubectl("delete", "endpointslice", "mine")


def test_pods_reach_nothing_else_of_the_host(local: LocalSystem, team_a: TenantCluster) -> None:
    site = site_of(local)
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]

        def accept() -> None:
            listener.accept()[0].close()

        accepted = threading.Thread(target=accept, daemon=True)
        accepted.start()
        targets = [(site.uplink[2], port), (site.gateway, port), ("192.0.2.2", port)]
        script = "; ".join(f"nc -w 3 {host} {number} && echo OPEN" for host, number in targets)
        assert "OPEN" not in said(team_a, "prober", f"{script}; echo done")
        # What is not reached is there all the same.
        socket.create_connection((str(site.uplink[2]), port), 5).close()
        accepted.join(5)
        assert not accepted.is_alive()


def test_the_provider_reaches_into_containers(local: LocalSystem, web: TenantCluster) -> None:
    namespace = web.super_namespace()
    hostname = local.super.kubectl("exec", "-n", namespace, "web", "--", "hostname")
    assert hostname == "web\n"


def test_kubelets_ask_who_is_there(local: LocalSystem, team_a: TenantCluster) -> None:
    address = site_of(local).nodes(1)[0].address
    # The token of a tenant's pod is nobody's in the super cluster.
    script = f"kubectl --insecure-skip-tls-verify --server=https://{address}:{KUBELET_PORT} "
    script += f"--token=$(cat {TOKEN}) get --raw /pods"
    answer = said(team_a, "stranger", script, image=TOOLBOX)
    assert "You must be logged in to the server" in answer


def test_deletion_ends_the_container(local: LocalSystem, team_a: TenantCluster) -> None:
    script = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
    team_a.apply(container_pod("ends", script, terminationGracePeriodSeconds=240))
    wait_for("it runs", lambda: is_ready(team_a, "ends"))
    team_a.kubectl(
        "delete", "pod", "ends", "--timeout=150s"
    )  # by itself, not at the end of its time
    assert team_a.get("pod", "ends") is None
    assert local.super.get("pod", "ends", team_a.super_namespace()) is None
