"""What a tenant sees of the cluster: nodes, classes, events; and with a client that we did not write."""

import asyncio
import json
from functools import partial

from kubernetes import client, config, watch

from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for
from tests.e2e.objects import pod

PUBLIC = "virtualcluster.dev/public=true"


def test_virtual_nodes_show_the_real_ones(local: LocalSystem, team_a: TenantCluster) -> None:
    real = {item["metadata"]["name"]: item for item in local.super.items("nodes")}
    seen = {item["metadata"]["name"]: item for item in team_a.items("nodes")}
    assert seen.keys() == real.keys()
    gpu = seen["gpu-0"]
    assert gpu["status"]["allocatable"]["nvidia.com/gpu"] == "4"
    assert gpu["metadata"]["labels"]["nvidia.com/gpu.present"] == "true"
    assert "images" not in gpu["status"]


def test_a_node_that_changes_changes_for_the_tenant(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    local.super.kubectl("cordon", "cpu-3")
    local.super.kubectl("label", "node", "cpu-3", "example.com/rack=7")

    def shown() -> bool:
        node = team_a.get("node", "cpu-3", "")
        assert node is not None
        return bool(
            node["spec"].get("unschedulable")
            and node["metadata"]["labels"].get("example.com/rack") == "7"
        )

    wait_for("cordon and label are shown", shown)
    local.super.kubectl("uncordon", "cpu-3")
    local.super.kubectl("label", "node", "cpu-3", "example.com/rack-")
    wait_for(
        "they are gone again",
        lambda: (
            "example.com/rack" not in (team_a.get("node", "cpu-3", "") or {})["metadata"]["labels"]
        ),
    )


def test_heartbeats_do_not_write_to_the_tenant(local: LocalSystem, team_a: TenantCluster) -> None:
    before = {
        item["metadata"]["name"]: item["metadata"]["resourceVersion"]
        for item in team_a.items("nodes")
    }
    heartbeat = (
        '{"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady",'
        '"lastHeartbeatTime":"2030-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}'
    )
    node = local.super.get("node", "cpu-1", "")
    assert node is not None
    transition = next(
        item["lastTransitionTime"]
        for item in node["status"]["conditions"]
        if item["type"] == "Ready"
    )
    ready = next(item for item in node["status"]["conditions"] if item["type"] == "Ready")
    heartbeat = heartbeat.replace("2026-01-01T00:00:00Z", transition)
    heartbeat = heartbeat.replace("KubeletReady", ready["reason"])
    local.super.kubectl("patch", "node", "cpu-1", "--subresource=status", "-p", heartbeat)
    local.super.kubectl("label", "node", "cpu-2", "example.com/after=1")
    wait_for(
        "a later change has gone up",
        lambda: (
            "example.com/after" in (team_a.get("node", "cpu-2", "") or {})["metadata"]["labels"]
        ),
    )
    after = team_a.get("node", "cpu-1", "")
    assert after is not None
    assert after["metadata"]["resourceVersion"] == before["cpu-1"]
    local.super.kubectl("label", "node", "cpu-2", "example.com/after-")


def test_only_public_classes_are_shown(local: LocalSystem, team_a: TenantCluster) -> None:
    for name in ("gold", "hidden"):
        local.super.apply(
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": name},
                "value": 1000,
                "preemptionPolicy": "Never",
            }
        )
    local.super.kubectl("label", "priorityclass", "gold", PUBLIC)
    wait_for("the public class is shown", lambda: team_a.get("priorityclass", "gold", ""))
    assert team_a.get("priorityclass", "hidden", "") is None
    important = json.dumps(pod("important", priorityClassName="gold"))
    # Her API server reads what it admits pods by from a watch of its own.
    wait_for("it may be used", lambda: team_a.run("create", "-f", "-", stdin=important).stdout)
    mirror = wait_for(
        "the pod is below",
        partial(local.super.get, "pod", "important", team_a.super_namespace()),
    )
    assert mirror["spec"]["priorityClassName"] == "gold"
    assert mirror["spec"]["priority"] == 1000
    team_a.kubectl("delete", "pod", "important")
    local.super.kubectl("delete", "priorityclass", "gold", "hidden")
    wait_for("it is gone", lambda: team_a.get("priorityclass", "gold", "") is None)


def test_events_go_up_with_the_tenants_names(team_a: TenantCluster) -> None:
    team_a.apply(pod("eventful"))
    event = wait_for(
        "the scheduler's event",
        lambda: next(
            (item for item in team_a.events("eventful") if item["reason"] == "Scheduled"), None
        ),
    )
    own = team_a.get("pod", "eventful")
    assert own is not None
    assert event["involvedObject"]["uid"] == own["metadata"]["uid"]
    assert event["message"].startswith("Successfully assigned default/eventful to ")
    team_a.kubectl("delete", "pod", "eventful")


async def test_the_official_client_works_in_a_tenant(team_a: TenantCluster) -> None:
    def use() -> list[str]:
        core = client.CoreV1Api(config.new_client_from_config(str(team_a.kubeconfig)))
        created = core.create_namespaced_pod("default", pod("official"))
        phases = [created.status.phase]
        for event in watch.Watch().stream(
            core.list_namespaced_pod,
            "default",
            field_selector="metadata.name=official",
            resource_version=created.metadata.resource_version,  # else it may begin too late
            timeout_seconds=150,
        ):
            phases.append(event["object"].status.phase)
            if phases[-1] == "Running":
                break
        core.delete_namespaced_pod("official", "default")
        return phases

    phases = await asyncio.to_thread(use)
    assert phases[0] == "Pending"
    assert phases[-1] == "Running"
