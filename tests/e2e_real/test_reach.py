"""What kubectl reaches of a pod on a real node: through the node agent, as the tenant."""

import hashlib
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for
from tests.e2e_real.containers import ANSWER, container_pod, forwarded, is_ready, said, web_pod
from vcluster.local.real_nodes.images import TOOLBOX
from vcluster.local.real_nodes.site import KUBELET_PORT
from vcluster.local.state import State
from vcluster.supervision import Supervisor


@pytest.fixture(scope="module")
def shell(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a with a pod ``shell`` that waits, and has said something."""
    team_a.apply(container_pod("shell", "echo first; echo second; exec sleep 100000", "real-0"))
    wait_for("shell is ready", lambda: is_ready(team_a, "shell"))
    yield team_a
    team_a.kubectl("delete", "pod", "shell", "--grace-period=0", "--force", check=False)


def test_logs(shell: TenantCluster) -> None:
    # A container runs before it has said anything.
    wait_for("all is said", lambda: shell.kubectl("logs", "shell") == "first\nsecond\n")
    assert shell.kubectl("logs", "shell", "--tail=1") == "second\n"


def test_exec_gives_output_errors_and_exit_code(shell: TenantCluster) -> None:
    done = shell.run("exec", "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.returncode) == ("out\n", 7)
    assert "err\n" in done.stderr


def test_files_are_copied_both_ways(shell: TenantCluster, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(3_000_000))
    shell.kubectl("cp", str(there), "shell:/tmp/copied")
    shell.kubectl("cp", "shell:/tmp/copied", str(back))
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (there, back)}
    assert len(digests) == 1


def test_a_debug_container_runs_beside(shell: TenantCluster) -> None:
    image = "localhost/busybox:1"
    shell.kubectl("debug", "shell", "--profile=baseline", f"--image={image}", "-c", "beside",
                  "--", "sh", "-c", "echo debugged; sleep 1000")  # fmt: skip
    wait_for(
        "it has spoken", lambda: "debugged" in shell.run("logs", "shell", "-c", "beside").stdout
    )


def test_a_port_is_forwarded(team_a: TenantCluster) -> None:
    team_a.apply(web_pod("forwarded", "real-1"))
    wait_for("it is ready", lambda: is_ready(team_a, "forwarded"))
    with forwarded(team_a, "forwarded", 8080) as port:
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                assert answer.read().decode() == f"{ANSWER}\n"
    team_a.kubectl("delete", "pod", "forwarded", "--wait=false")


def test_statistics_are_of_the_tenants_own_pods(
    shell: TenantCluster, team_b: TenantCluster
) -> None:
    path = "/api/v1/nodes/real-0/proxy/stats/summary"
    # The kubelet measures a container some seconds after it has begun.
    wait_for("it is there", lambda: '"name":"shell"' in shell.kubectl("get", "--raw", path))
    assert "shell" not in team_b.kubectl("get", "--raw", path)


@pytest.mark.parametrize("report", ["pods", "runningpods/"])
def test_at_the_kubelets_usual_port_are_the_tenants_own_pods(
    shell: TenantCluster, team_b: TenantCluster, report: str
) -> None:
    """Tools ask for ``NODE:10250``; the provider's kubelet is elsewhere, and nobody is led there."""
    path = f"/api/v1/nodes/real-0:10250/proxy/{report}"

    def names(tenant: TenantCluster) -> set[str]:
        pods = json.loads(tenant.kubectl("get", "--raw", path))["items"]
        return {pod["metadata"]["name"] for pod in pods}

    assert "shell" in names(shell)
    assert "shell" not in names(team_b)
    moved = shell.run("get", "--raw", path.replace("10250", str(KUBELET_PORT)))
    assert "no pod, service or node agent" in moved.stderr


def test_a_scraper_in_a_pod_finds_the_agent_at_the_kubelets_usual_port(
    shell: TenantCluster,
) -> None:
    [address] = [
        one["address"]
        for one in (shell.get("node", "real-0", "") or {})["status"]["addresses"]
        if one["type"] == "InternalIP"
    ]
    script = f"kubectl --insecure-skip-tls-verify --server=https://{address}:10250 "
    script += "--token=$(cat /var/run/secrets/kubernetes.io/serviceaccount/token) get --raw "
    refused = said(shell, "scraper", f"{script} /metrics/resource", image=TOOLBOX)
    assert "it needs the right to get nodes/metrics" in refused
    shell.kubectl("create", "clusterrole", "scraper", "--verb=get", "--resource=nodes/metrics")
    try:
        account = "--serviceaccount=default:default"
        shell.kubectl("create", "clusterrolebinding", "scraper", "--clusterrole=scraper", account)
        count = f"{script} /metrics/resource | grep -c 'pod=\"shell\"'"
        found = said(shell, "scraper-that-may", count, image=TOOLBOX)
    finally:
        shell.kubectl("delete", "clusterrole,clusterrolebinding", "scraper")
    assert int(found) > 0


def test_when_vc_up_returns_the_agents_are_there(local: LocalSystem, shell: TenantCluster) -> None:
    """Also those that were just started, as after a change of the version."""
    state = State(local.state_directory)
    Supervisor(state.supervisor_directory).stop("real-nodes", "real-0-node-agent")
    assert shell.run("get", "--raw", "/api/v1/nodes/real-0/proxy/pods").returncode
    local.vc("up")
    assert "shell" in shell.kubectl("get", "--raw", "/api/v1/nodes/real-0/proxy/pods")


def test_another_tenants_pod_is_not_found(
    local: LocalSystem, shell: TenantCluster, team_b: TenantCluster
) -> None:
    """Even if its API server believes that it has such a pod on the node."""
    for namespace in ("default", shell.super_namespace()):
        path = f"/api/v1/nodes/real-0/proxy/containerLogs/{namespace}/shell/main"
        done = team_b.run("get", "--raw", path)
        assert done.returncode
        assert "first" not in done.stdout + done.stderr
        assert "NotFound" in done.stderr
