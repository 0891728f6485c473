"""Several syncers on real API servers: they share the tenants, and two on one tenant harm nothing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment

ROOT = Path(__file__).parents[2]


def running(cluster: TenantCluster, name: str) -> set[str]:
    """The UIDs of the running pods of a deployment."""
    return {
        item["metadata"]["uid"]
        for item in cluster.items("pods", "-l", f"app={name}")
        if item["status"]["phase"] == "Running"
    }


def number_running(cluster: TenantCluster, name: str, wanted: int) -> bool:
    return len(running(cluster, name)) == wanted


def super_pods(local: LocalSystem, cluster: TenantCluster, name: str) -> dict[str, str]:
    """The UID of the super pod of each of the deployment's pods."""
    found = local.super.items("pods", "-n", cluster.super_namespace(), "-l", f"app={name}")
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in found}


def made(local: LocalSystem, namespace: str) -> list[str]:
    """The names of all pods that were created in a super namespace, each as often as it was."""
    found = []
    for line in local.state_directory.joinpath("logs/audit.log").read_text().splitlines():
        with contextlib.suppress(ValueError):  # a line that is just being written
            event: Object = json.loads(line)
            target = event.get("objectRef", {})
            created = event["verb"] == "create" and event["responseStatus"]["code"] == 201
            of_a_pod = target.get("resource") == "pods" and "subresource" not in target
            if created and of_a_pod and target["namespace"] == namespace:
                found.append(target["name"])
    return found


@pytest.fixture
def three(local: LocalSystem) -> Iterator[None]:
    """Three syncers; one again afterwards."""
    local.vc("up", "--syncers", "3")
    yield
    local.vc("up", "--syncers", "1")


@pytest.mark.usefixtures("three")
def test_syncers_share_the_tenants_and_one_that_is_killed_is_missed_by_nobody(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    for cluster in (team_a, team_b):
        cluster.apply(deployment("shared", replicas=2))
    for cluster in (team_a, team_b):
        wait_for("two run", partial(number_running, cluster, "shared", 2))
    before = [super_pods(local, cluster, "shared") for cluster in (team_a, team_b)]
    for name in ("syncer", "syncer-2", "syncer-3"):
        # Zero, of one that is between two lives, would mean all of us.
        os.kill(wait_for(f"{name} runs", partial(local.pid, "super", name)), signal.SIGKILL)
    for cluster in (team_a, team_b):
        cluster.kubectl("scale", "deployment", "shared", "--replicas=3")
    for cluster, uids in zip((team_a, team_b), before, strict=True):
        wait_for("three run", partial(number_running, cluster, "shared", 3))
        assert uids.items() <= super_pods(local, cluster, "shared").items()
        cluster.kubectl("delete", "deployment", "shared")
    leases = local.super.items("leases", "-n", "virtualcluster-system")
    assert {item["metadata"]["name"] for item in leases} >= {"syncer", "syncer-2", "syncer-3"}


@pytest.fixture
def intruder(local: LocalSystem, tmp_path: Path) -> Iterator[None]:
    """A syncer that knows nothing of the others and mirrors all tenants too."""
    local.super.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}})
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SYNCER_SUPER_KUBECONFIG": str(local.super.kubeconfig),
        "SYNCER_NAMESPACE": "elsewhere",
        "SYNCER_MEMBER": "intruder",
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "syncer"], env=environment, stdout=log, stderr=log
        )
    try:
        wait_for(
            "it mirrors both tenants",
            lambda: (tmp_path / "log").read_text().count('"tenant in step"') >= 2,
        )
        yield
    finally:
        process.terminate()
        process.wait(120)
        local.super.kubectl("delete", "namespace", "elsewhere", "--wait=false")


@pytest.mark.usefixtures("intruder", "team_b")
def test_two_syncers_on_every_tenant_do_nothing_twice(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    team_a.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "both"}, "data": {"a": "b"}},
        deployment("both", replicas=8),
    )
    wait_for("eight run", partial(number_running, team_a, "both", 8))
    team_a.kubectl("rollout", "restart", "deployment", "both")
    team_a.kubectl("rollout", "status", "deployment", "both", "--timeout=150s")
    team_a.kubectl("scale", "deployment", "both", "--replicas=3")
    wait_for(
        "both sides have the same three",
        lambda: (
            len(super_pods(local, team_a, "both")) == 3
            and len(team_a.items("pods", "-l", "app=both")) == 3
        ),
    )
    namespace = team_a.super_namespace()
    names = [name for name in made(local, namespace) if name.startswith("both-")]
    assert len(names) == len(set(names)), "no pod was made twice"
    conditions = [
        condition["reason"]
        for item in team_a.items("pods", "-l", "app=both")
        for condition in item["status"]["conditions"]
        if condition["type"] == "DisruptionTarget"
    ]
    assert not conditions
    team_a.kubectl("delete", "deployment/both", "configmap/both")
    wait_for("all are gone", lambda: not super_pods(local, team_a, "both"))
