"""Nodes that come, fall silent, are drained and go, and what a tenant's controllers make of it.

What takes a minute begins first, and is waited for last.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial

import psutil
import pytest
import yaml

from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment, job
from tests.e2e_real.containers import container_pod, is_ready

FOR_EVER = "exec sleep 100000"
SILENT = "real-2"


@pytest.fixture(scope="module")
def third(local: LocalSystem, team_a: TenantCluster) -> Iterator[TenantCluster]:
    """team-a with a third node, on which a pod runs; the node's kubelet falls silent."""
    team_a.apply(cron_job())
    local.vc("up", "--real-nodes", "3")
    wait_for("the tenant's third node is ready", lambda: ready(team_a, SILENT) == "True")
    team_a.apply(container_pod("stranded", FOR_EVER, SILENT))
    wait_for("its pod runs", lambda: is_ready(team_a, "stranded"))
    [kubelet] = psutil.Process(local.pid("real-nodes", f"{SILENT}-kubelet")).children()
    os.kill(kubelet.pid, signal.SIGSTOP)
    yield team_a
    with contextlib.suppress(ProcessLookupError):
        os.kill(kubelet.pid, signal.SIGCONT)
    local.vc("up", "--real-nodes", "2")
    team_a.kubectl("delete", "pod", "stranded", "--force", "--grace-period=0", check=False)


def ready(cluster: Cluster, node: str) -> str:
    """What the node's condition Ready says; empty if there is none."""
    conditions = (cluster.get("node", node, "") or {"status": {}})["status"].get("conditions")
    return next((c["status"] for c in conditions or () if c["type"] == "Ready"), "")


def cron_job() -> Object:
    """A job at each full minute."""
    once = job("ticks", 1, {}, **container_pod("ticks", "echo tick")["spec"])
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "ticks"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": once["spec"]}},
    }


def replicas(name: str, count: int) -> Object:
    """A deployment of pods that run for ever, not on the silent node."""
    spec = container_pod(name, FOR_EVER, terminationGracePeriodSeconds=0)["spec"]
    answers = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [SILENT]}
    spec["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [answers]}]
            }
        }
    }
    return deployment(name, count, **spec)


def running(tenant: TenantCluster, name: str) -> dict[str, str]:
    """Where the ready pods of a deployment are, by their names."""
    return {
        item["metadata"]["name"]: item["spec"]["nodeName"]
        for item in tenant.items("pods", "-l", f"app={name}")
        if "deletionTimestamp" not in item["metadata"]
        and any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in item["status"].get("conditions") or ()
        )
    }


def test_a_drained_node_is_left_as_the_tenants_budget_allows(
    local: LocalSystem, third: TenantCluster
) -> None:
    local.super.kubectl("cordon", "real-0")
    third.apply(replicas("guarded", 2), budget(2))
    wait_for("both run", lambda: len(running(third, "guarded")) == 2, 90)
    before = running(third, "guarded")
    assert set(before.values()) == {"real-1"}
    local.super.kubectl("uncordon", "real-0")
    drain = ("drain", "real-1", "--pod-selector=app=guarded", "--force")  # below they have no owner
    wait_for("the budget is known below", lambda: allowed(local, third) == 0)
    said = local.super.kubectl(*drain, "--timeout=3s", check=False)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in said
    assert running(third, "guarded") == before
    wait_for("the tenant sees it", lambda: is_cordoned(third, "real-1"))
    third.apply(budget(1))
    wait_for("the new budget is known below", lambda: allowed(local, third) == 1)
    watch = third.start(
        "get", "pods", "-l", "app=guarded", "-o", "json", "-w", "--output-watch-events"
    )
    assert watch.stdout is not None
    told = "".join(watch.stdout.readline() for _ in before)  # it watches
    try:
        local.super.kubectl(*drain, "--timeout=90s")
        wait_for(
            "they run elsewhere",
            lambda: list(running(third, "guarded").values()) == ["real-0", "real-0"],
        )
    finally:
        told += ended(watch)
        local.super.kubectl("uncordon", "real-1")
    assert evicted(told) == set(before), "as on a real cluster"
    third.kubectl("delete", "deployment,pdb", "guarded")


def budget(pods: int) -> Object:
    """So many of the deployment's pods must stay."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "guarded"},
        "spec": {"minAvailable": pods, "selector": {"matchLabels": {"app": "guarded"}}},
    }


def evicted(told: str) -> set[str]:
    """The pods of which a watch, an event a line, has told that they were evicted."""
    seen = [json.loads(line)["object"] for line in told.splitlines(True) if line.endswith("}\n")]
    return {
        found["metadata"]["name"]
        for found in seen
        for condition in found["status"].get("conditions") or ()
        if (condition["type"], condition["status"]) == ("DisruptionTarget", "True")
        and condition["reason"] == "EvictionByEvictionAPI"
    }


def is_cordoned(cluster: Cluster, node: str) -> bool:
    """Whether the node takes no more pods."""
    return bool((cluster.get("node", node, "") or {"spec": {}})["spec"].get("unschedulable"))


def allowed(local: LocalSystem, tenant: TenantCluster) -> int:
    """How many pods may be disrupted, as the super cluster counts; -1: it has not counted."""
    found = local.super.get("pdb", "guarded", tenant.super_namespace()) or {}
    metadata, status = found.get("metadata", {}), found.get("status", {})
    counted = status.get("observedGeneration") == metadata.get("generation")
    return int(status["disruptionsAllowed"]) if counted and status.get("expectedPods") else -1


def ended(process: subprocess.Popen[str]) -> str:
    """All that a process has said, once it is ended."""
    process.terminate()
    return process.communicate()[0]


def test_a_daemon_set_runs_on_the_tenants_nodes_only(
    local: LocalSystem, third: TenantCluster
) -> None:
    path = local.state_directory / "small.yaml"
    nodes = {"mode": "all", "selector": {"kubernetes.io/hostname": "real-0"}}
    path.write_text(yaml.safe_dump({"nodes": nodes, "dns": {"enabled": False}}))
    small = local.create_tenant("small", "--file", str(path))
    try:
        for tenant in (small, third):
            tenant.apply(daemon_set())
        for tenant, wanted in ((small, ["real-0"]), (third, ["real-0", "real-1"])):
            wait_for(f"it runs on {wanted}", partial(runs_on, tenant, wanted))
            shown = {node["metadata"]["name"] for node in tenant.items("nodes")}
            assert shown == {*wanted, *((SILENT,) if tenant is third else ())}
    finally:
        third.kubectl("delete", "daemonset", "each")
        local.vc("delete", "small")


def daemon_set() -> Object:
    """A pod for each node."""
    spec = container_pod("each", FOR_EVER, terminationGracePeriodSeconds=0)["spec"]
    labels = {"app": "each"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "each"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def runs_on(tenant: TenantCluster, nodes: list[str]) -> bool:
    """Whether its ready pods are on these nodes, one each."""
    return sorted(running(tenant, "each").values()) == nodes


def test_a_silent_node_is_not_ready_and_neither_are_its_pods(
    local: LocalSystem, third: TenantCluster
) -> None:
    wait_for("the tenant sees it", lambda: ready(third, SILENT) == "Unknown", 120)
    wait_for("its pod is not ready", lambda: not is_ready(third, "stranded"))
    found = third.get("pod", "stranded")
    assert found is not None
    assert found["status"]["phase"] == "Running", "it may run yet"
    assert "deletionTimestamp" not in found["metadata"], "it is borne for five minutes"
    node = third.get("node", SILENT, "") or {}
    assert "node.kubernetes.io/unreachable" in {taint["key"] for taint in node["spec"]["taints"]}
    borne = {
        item["tolerationSeconds"]
        for item in found["spec"]["tolerations"]
        if item["key"] == "node.kubernetes.io/unreachable"
    }
    assert borne == {300}
    [kubelet] = psutil.Process(local.pid("real-nodes", f"{SILENT}-kubelet")).children()
    os.kill(kubelet.pid, signal.SIGCONT)
    wait_for("the node is back", lambda: ready(third, SILENT) == "True")
    wait_for("so is its pod", lambda: is_ready(third, "stranded"))


def test_a_node_that_goes_is_shown_no_more(local: LocalSystem, third: TenantCluster) -> None:
    local.vc("up", "--real-nodes", "2")
    wait_for("it is not shown any more", lambda: third.get("node", SILENT, "") is None)


def test_a_rollout_goes_on_and_back(third: TenantCluster) -> None:
    third.apply(replicas("rolled", 2))
    third.kubectl("rollout", "status", "deployment/rolled", "--timeout=90s")
    third.kubectl("set", "env", "deployment/rolled", "STEP=2")
    third.kubectl("rollout", "status", "deployment/rolled", "--timeout=90s")
    assert third.kubectl("exec", "deployment/rolled", "--", "sh", "-c", "echo $STEP") == "2\n"
    third.kubectl("rollout", "undo", "deployment/rolled")
    third.kubectl("rollout", "status", "deployment/rolled", "--timeout=90s")
    assert third.kubectl("exec", "deployment/rolled", "--", "sh", "-c", "echo $STEP") == "\n"
    third.kubectl("scale", "deployment/rolled", "--replicas=3")
    wait_for("three run", lambda: len(running(third, "rolled")) == 3)
    third.kubectl("delete", "deployment", "rolled")


def test_a_cron_job_has_run(third: TenantCluster) -> None:
    def done() -> bool:
        jobs = third.items("jobs")
        return any(
            owner["name"] == "ticks" and item["status"].get("succeeded")
            for item in jobs
            for owner in item["metadata"].get("ownerReferences") or ()
        )

    wait_for("a job of it has succeeded", done, 120)
    third.kubectl("delete", "cronjob", "ticks")


def test_a_node_that_went_took_its_pods_along(third: TenantCluster) -> None:
    # The super cluster waits for 40 s before it takes the pods of a node for lost.
    wait_for("its pod has gone", lambda: third.get("pod", "stranded") is None, 120)
