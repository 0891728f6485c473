"""Nodes that come, fall silent, are drained and go, and what a tenant's controllers make of it.

What takes a minute begins first, and is waited for last.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from functools import partial

import psutil
import pytest
import yaml

from tests.e2e.local_system import Cluster, LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment, job
from tests.e2e_real.containers import container_pod, is_ready, watched

FOR_EVER = "exec sleep 100000"
SILENT = "real-2"
WATCH = (
    *("get", "pods", "-l", "app=guarded", "-o", "json", "-w", "--output-watch-events"),
    "--request-timeout=600s",
)


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


def taints(cluster: Cluster, node: str) -> set[str]:
    """The keys of the node's taints."""
    found = cluster.get("node", node, "") or {"spec": {}}
    return {taint["key"] for taint in found["spec"].get("taints") or ()}


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
    wait_for("those who watch nodes know it", lambda: is_cordoned(third, "real-0"))
    third.apply(replicas("guarded", 2), budget(2))
    wait_for("both run", lambda: len(running(third, "guarded")) == 2)
    before = running(third, "guarded")
    assert set(before.values()) == {"real-1"}
    local.super.kubectl("uncordon", "real-0")
    drain = ("drain", "real-1", "--pod-selector=app=guarded", "--force")  # below they have no owner
    wait_for("the budget is known below", lambda: allowed(local, third) == 0)
    said = local.super.kubectl(*drain, "--timeout=15s", check=False)
    assert "Cannot evict pod as it would violate the pod's disruption budget" in said
    assert running(third, "guarded") == before
    wait_for("the tenant sees it", lambda: is_cordoned(third, "real-1"))
    third.apply(budget(1))
    wait_for("the new budget is known below", lambda: allowed(local, third) == 1)
    watch = third.start(*WATCH)
    seen = watched(watch)
    try:
        for _ in before:
            next(seen)  # it watches
        local.super.kubectl(*drain, "--timeout=240s")
        wait_for(
            "they run elsewhere",
            lambda: list(running(third, "guarded").values()) == ["real-0", "real-0"],
        )
        assert evicted(seen, set(before)) == set(before), "as on a real cluster"
    finally:
        watch.kill()
        watch.communicate()
        local.super.kubectl("uncordon", "real-1")
    third.kubectl("delete", "deployment,pdb", "guarded")


def budget(pods: int) -> Object:
    """So many of the deployment's pods must stay."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "guarded"},
        "spec": {"minAvailable": pods, "selector": {"matchLabels": {"app": "guarded"}}},
    }


def evicted(seen: Iterator[Object], names: set[str]) -> set[str]:
    """The pods of which a watch tells that they are evicted, until all of the named are deleted."""
    left, found = set(names), set()
    while left and (event := next(seen, None)):
        name = event["object"]["metadata"]["name"]
        for condition in event["object"]["status"].get("conditions") or ():
            said = (condition["type"], condition["status"], condition.get("reason"))
            if said == ("DisruptionTarget", "True", "EvictionByEvictionAPI"):
                found.add(name)
        if event["type"] == "DELETED":
            left.discard(name)
    return found


def is_cordoned(cluster: Cluster, node: str) -> bool:
    """Whether the node takes no more pods."""
    return bool((cluster.get("node", node, "") or {"spec": {}})["spec"].get("unschedulable"))


def allowed(local: LocalSystem, tenant: TenantCluster) -> int:
    """How many pods may be disrupted, as the super cluster counts; -1: it has not counted."""
    found = local.super.get("pdb", "guarded", tenant.super_namespace()) or {}
    metadata, status = found.get("metadata", {}), found.get("status", {})
    counted = status.get("observedGeneration") == metadata.get("generation")
    return int(status["disruptionsAllowed"]) if counted and status.get("expectedPods") else -1


def test_a_silent_node_is_not_ready_and_neither_are_its_pods(
    local: LocalSystem, third: TenantCluster
) -> None:
    # It comes this early since after five minutes the pod would rightly be taken away.
    wait_for("the tenant sees it", lambda: ready(third, SILENT) == "Unknown", 240)
    wait_for("its pod is not ready", lambda: not is_ready(third, "stranded"))
    found = third.get("pod", "stranded")
    assert found is not None
    assert found["status"]["phase"] == "Running", "it may run yet"
    assert "deletionTimestamp" not in found["metadata"], "it is borne for five minutes"
    wait_for("its taint follows", lambda: "node.kubernetes.io/unreachable" in taints(third, SILENT))
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
        for tenant, wanted in ((small, ["real-0"]), (third, ["real-0", "real-1", SILENT])):
            wait_for(f"it runs on {wanted}", partial(runs_on, tenant, wanted))
            shown = {node["metadata"]["name"] for node in tenant.items("nodes")}
            assert shown == {*wanted}
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


def test_a_node_that_goes_is_shown_no_more(local: LocalSystem, third: TenantCluster) -> None:
    local.vc("up", "--real-nodes", "2")
    wait_for("it is not shown any more", lambda: third.get("node", SILENT, "") is None)


def test_a_rollout_goes_on_and_back(third: TenantCluster) -> None:
    third.apply(replicas("rolled", 2))
    third.kubectl("rollout", "status", "deployment/rolled", "--timeout=150s")
    third.kubectl("set", "env", "deployment/rolled", "STEP=2")
    third.kubectl("rollout", "status", "deployment/rolled", "--timeout=150s")
    wait_for("a pod of the new kind answers", lambda: step(third) == "2\n")
    third.kubectl("rollout", "undo", "deployment/rolled")
    third.kubectl("rollout", "status", "deployment/rolled", "--timeout=150s")
    wait_for("a pod of the old kind answers", lambda: step(third) == "\n")
    third.kubectl("scale", "deployment/rolled", "--replicas=3")
    wait_for("three run", lambda: len(running(third, "rolled")) == 3)
    third.kubectl("delete", "deployment", "rolled")


def step(tenant: TenantCluster) -> str:
    """What a pod of the deployment says; kubectl may choose one that is on its way out."""
    return tenant.kubectl(
        "exec", "deployment/rolled", "--", "sh", "-c", "echo $STEP", check=False
    )  # fmt: skip


def test_a_cron_job_has_run(third: TenantCluster) -> None:
    def done() -> bool:
        jobs = third.items("jobs")
        return any(
            owner["name"] == "ticks" and item["status"].get("succeeded")
            for item in jobs
            for owner in item["metadata"].get("ownerReferences") or ()
        )

    wait_for("a job of it has succeeded", done, 300)
    third.kubectl("delete", "cronjob", "ticks")


def test_a_node_that_went_took_its_pods_along(third: TenantCluster) -> None:
    # The super cluster waits for 40 s before it takes the pods of a node for lost.
    wait_for("its pod has gone", lambda: third.get("pod", "stranded") is None, 300)
