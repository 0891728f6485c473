"""Labels that a tenant gives its nodes, against a real scheduler."""

from tests.e2e.local_system import TenantCluster, wait_for
from tests.e2e.objects import Object, pod


def placed(tenant: TenantCluster, name: str) -> Object | None:
    """The pod, once it runs."""
    found = tenant.get("pod", name)
    return found if found and found.get("status", {}).get("phase") == "Running" else None


def test_a_pod_waits_for_a_node_with_the_tenants_label_and_goes_there(
    team_a: TenantCluster,
) -> None:
    node = wait_for("nodes are shown", lambda: team_a.items("nodes"))[-1]["metadata"]["name"]
    team_a.apply(pod("choosy", nodeSelector={"example.com/disk": "ssd"}))
    wait_for(
        "the scheduler has found no node",
        lambda: any(event["reason"] == "FailedScheduling" for event in team_a.events("choosy")),
    )
    uid = (team_a.get("pod", "choosy") or {})["metadata"]["uid"]
    team_a.kubectl("label", "node", node, "example.com/disk=ssd")
    found = wait_for("the pod runs", lambda: placed(team_a, "choosy"))
    assert (found["spec"]["nodeName"], found["metadata"]["uid"]) == (node, uid)
    team_a.kubectl("label", "node", node, "example.com/disk-")
    team_a.kubectl("delete", "pod", "choosy")
