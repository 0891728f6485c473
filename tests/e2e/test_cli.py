"""``vc`` as people use it, against the real thing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for
from tests.e2e.objects import pod
from vcluster.provisioners.process import NICENESS, cores

VC = str(Path(sys.executable).parent / "vc")


@pytest.fixture
def kubectl(local: LocalSystem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """kubectl, and the home directory of somebody who has nothing yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return local.super.kubectl_program


@pytest.fixture(scope="module")
def passing(local: LocalSystem) -> Iterator[str]:
    """The name of a tenant of this module alone, which may be anything but is deleted."""
    yield "passing"
    local.vc("delete", "passing", "--ignore-not-found", "--no-wait")


def test_create_tells_its_progress_and_delete_leaves_nothing(
    local: LocalSystem, passing: str
) -> None:
    created = local.vc("create", passing)
    assert "is ready" in created.stdout
    for told in ("Phase: Provisioning", "DatastoreReady: done", "ControlPlaneReady: done"):
        assert told in created.stderr
    assert local.tenant(passing).items("nodes"), (
        "a cluster without nodes is not what one waited for"
    )
    again = local.vc("create", passing, "--class", "standard")
    assert "exists with this spec" in again.stderr, "although the API server has filled in defaults"
    other = local.vc("create", passing, "-f", "-", check=False, stdin="nodes: {mode: used}")
    assert other.returncode == 1
    assert "exists already, with another spec.nodes" in other.stderr
    key = local.tenant(passing).key
    programs = [row for row in local.processes() if row["group"] == key]
    assert [row["restarts"] for row in programs] == [0, 0], "a new control plane starts once"
    shared = psutil.Process(local.pid("super", "kube-apiserver")).nice()
    own = [psutil.Process(row["pid"]) for row in programs]
    assert {one.nice() for one in own} == {shared + NICENESS}, "what all share comes first"
    assert {one.environ()["GOMAXPROCS"] for one in own} == {str(cores())}, "nobody takes all cores"
    deleted = local.vc("delete", passing)
    assert "is deleted" in deleted.stdout
    assert local.super.items("namespaces", "-l", f"virtualcluster.dev/tenant={key}") == []
    assert local.vc("describe", passing, check=False).returncode == 1
    assert [row for row in local.processes() if row["group"] == key] == []


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("nodes: {mod: used}", 'unknown field "spec.nodes.mod"'),
        ("nodes: {mode: some}", 'spec.nodes.mode: Unsupported value: "some"'),
        ("scheduling: {weight: 0}", "spec.scheduling.weight: Invalid value: 0"),
        ("kubernetesVersion: v1.0.0", 'spec.kubernetesVersion: Unsupported value: "v1.0.0"'),
        ("nodes: used", "spec.nodes: Invalid value"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_fields_path(
    local: LocalSystem, spec: str, told: str
) -> None:
    result = local.vc("create", "wrong", "-f", "-", check=False, stdin=spec)
    assert result.returncode == 1
    assert f"Error: wrong spec in standard input: {told}" in result.stderr
    assert "nil" not in result.stderr
    assert local.super.get("virtualcluster", "wrong", "tenants") is None


def test_a_class_that_is_not_there_fails_with_the_reason(local: LocalSystem, passing: str) -> None:
    result = local.vc("create", passing, "--class", "none", check=False)
    assert result.returncode == 1
    assert "spec.className: there is no VirtualClusterClass 'none'" in result.stderr
    local.vc("delete", passing)


def test_describe_and_top_show_what_the_tenant_has(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    gpu = [{"name": "main", "image": "demo", "resources": {"limits": {"nvidia.com/gpu": 1}}}]
    team_a.apply(pod("shown-by-vc", containers=gpu))

    def row() -> dict[str, object] | None:
        rows = json.loads(local.vc("top", "-o", "json").stdout)
        found: dict[str, object] = next(row for row in rows if row["key"] == team_a.key)
        return found if found["gpus_used"] and found["delay_up_ms"] is not None else None

    used = wait_for("top shows the GPU in use and the syncer's delay", row)
    assert isinstance(used["memory_mib"], float)
    assert used["memory_mib"] > 50, "of an API server and a controller-manager"
    described = local.vc("describe", "team-a").stdout
    for told in (team_a.super_namespace(), "shown-by-vc", "ControlPlaneReady", "Healthy"):
        assert told in described
    team_a.kubectl("delete", "pod", "shown-by-vc")


def test_connect_speaks_to_the_tenant(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    team_a.kubectl("create", "configmap", "only-in-a")
    found = local.vc("connect", "team-a", "--", "kubectl", "get", "configmap", "only-in-a")
    assert "only-in-a" in found.stdout, "although kubectl is not on the PATH"
    missing = local.vc(
        "connect", "team-b", "--", "kubectl", "get", "configmap", "only-in-a", check=False
    )
    assert missing.returncode == 1
    assert "NotFound" in missing.stderr
    team_a.kubectl("delete", "configmap", "only-in-a")


@pytest.mark.usefixtures("team_a")
def test_a_merged_kubeconfig_works_with_kubectl(local: LocalSystem, kubectl: Path) -> None:
    for _ in range(2):
        local.vc("kubeconfig", "team-a", "--merge")
    listed = run(str(kubectl), "--context", "team-a.tenants", "get", "namespaces", "-o", "name")
    assert "namespace/default" in listed.stdout
    current = run(str(kubectl), "config", "current-context")
    assert current.returncode != 0, "no context was switched to"


@pytest.mark.usefixtures("team_a")
def test_it_is_a_plugin_of_kubectl(local: LocalSystem, kubectl: Path) -> None:
    path = f"{Path(VC).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"VC_STATE_DIR": str(local.state_directory), "PATH": path}
    listed = run(str(kubectl), "vc", "list", **environment)
    assert "team-a" in listed.stdout
    usage = run(str(kubectl), "vc", "describe", "--help", **environment)
    assert usage.stdout.startswith("Usage: kubectl vc describe ")
    words = ("connect", "team-a", "--", "sh", "-c", "exit 5")
    assert run(str(kubectl), "vc", *words, **environment).returncode == 5


@pytest.mark.usefixtures("team_a")
def test_a_tenant_is_not_taken_for_a_super_cluster(local: LocalSystem, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    local.vc("kubeconfig", "team-a", "-o", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    result = local.vc("list", "--kubeconfig", str(path), check=False)
    assert result.returncode == 1
    assert "CRDs are not installed" in result.stderr


def test_what_an_identity_may_not_do_is_said(local: LocalSystem, team_a: TenantCluster) -> None:
    syncer = local.state_directory / "kubeconfig/syncer.kubeconfig"
    result = local.vc("delete", team_a.name, "--kubeconfig", str(syncer), check=False)
    assert result.returncode == 1
    assert "does not allow it: Forbidden" in result.stderr
    assert "cannot delete" in result.stderr


@pytest.mark.usefixtures("team_a", "team_b")
def test_names_of_tenants_complete_in_bash(local: LocalSystem) -> None:
    script = f"source <({VC} completion bash); COMP_WORDS=({VC} describe te); COMP_CWORD=2; "
    script += f'_vc_completion {VC}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = run("bash", "-c", script, VC_STATE_DIR=str(local.state_directory))
    assert {"team-a", "team-b"} <= set(done.stdout.split())


def test_ctrl_c_while_waiting_is_no_traceback(local: LocalSystem, passing: str) -> None:
    process = subprocess.Popen(
        [VC, "create", passing],
        env=os.environ | {"VC_STATE_DIR": str(local.state_directory)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "created" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=150)
    assert process.returncode == 130
    assert "Traceback" not in told


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the person's."""
    return subprocess.run(
        words,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
