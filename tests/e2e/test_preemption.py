"""Pods of one tenant give way to each other, with the real scheduler, which keeps the room for them."""

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import pod

NODE = "cpu-0"
HALF, SMALL = 16, 7
"""CPUs, of the node's 32; others may have a few."""


def a_priority(name: str, value: int) -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
    }


def on_the_node(name: str, cpus: int, priority: str) -> Object:
    container = {"name": "main", "image": "demo", "resources": {"requests": {"cpu": cpus}}}
    where = {"kubernetes.io/hostname": NODE}
    return pod(name, containers=[container], nodeSelector=where, priorityClassName=priority)


def runs(tenant: TenantCluster, *pods: Object) -> None:
    tenant.apply(*pods)
    names = [f"pod/{found['metadata']['name']}" for found in pods]
    tenant.kubectl("wait", "--for=condition=Ready", *names, "--timeout=150s")


def uid(tenant: TenantCluster, name: str) -> str:
    found = tenant.get("pod", name)
    return str(found["metadata"]["uid"]) if found else ""


def test_a_tenants_pod_takes_the_place_of_its_own_less_important_one(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    for tenant in (team_a, team_b):
        tenant.apply(a_priority("low", -100), a_priority("some", 1), a_priority("high", 1000))
    runs(team_b, on_the_node("neighbour", HALF, "some"))
    runs(team_a, on_the_node("cheap", SMALL, "low"), on_the_node("dear", SMALL, "some"))
    before = {name: uid(team_a, name) for name in ("cheap", "dear")}
    neighbour = uid(team_b, "neighbour")
    team_b.apply(on_the_node("queued", SMALL, "some"))
    wait_for(
        "another tenant waits for room on the node",
        lambda: any(event["reason"] == "FailedScheduling" for event in team_b.events("queued")),
    )
    said = [event["message"] for event in team_b.events("queued")]
    assert not [text for text in said if "preemptionPolicy" in text], "our class, not the tenant's"
    runs(team_a, on_the_node("urgent", SMALL, "high"))

    def told() -> list[Object]:
        events = team_a.events("cheap")
        return [event for event in events if event["reason"] == "Preempted"]

    (event, *_) = wait_for("the tenant is told", told)
    assert event["message"] == f"Preempted by pod {uid(team_a, 'urgent')} on node {NODE}"
    assert uid(team_a, "cheap") in ("", before["cheap"])
    assert uid(team_a, "dear") == before["dear"]
    assert uid(team_b, "neighbour") == neighbour
    queued = team_b.get("pod", "queued") or {}
    assert "nodeName" not in queued["spec"]  # though it has waited for longer
    super_pod = local.super.get("pod", "urgent", team_a.super_namespace()) or {}
    assert super_pod["spec"]["priority"] == 0
    assert super_pod["spec"]["preemptionPolicy"] == "Never"
    team_a.kubectl("delete", "pod", "urgent", "dear", "--wait=false")
    team_b.kubectl("delete", "pod", "queued", "neighbour", "--wait=false")
