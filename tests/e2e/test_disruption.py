"""Nodes that come, go and are drained; pods that the super cluster takes away."""

import json

import yaml

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import deployment, pod


def condition(found: Object | None, kind: str) -> str:
    """The status of a condition of the pod; empty if it has none."""
    conditions = (found or {}).get("status", {}).get("conditions", ())
    return next((item["status"] for item in conditions if item["type"] == kind), "")


def test_a_readiness_gate_is_the_tenants_to_open(team_a: TenantCluster) -> None:
    gate = "example.com/checked"
    team_a.apply(pod("checked", readinessGates=[{"conditionType": gate}]))
    wait_for(
        "its containers are ready",
        lambda: condition(team_a.get("pod", "checked"), "ContainersReady"),
    )
    status = {"status": {"conditions": [{"type": gate, "status": "True"}]}}
    team_a.kubectl(
        "patch", "pod", "checked", "--subresource=status", "-p", yaml.safe_dump(status)
    )  # fmt: skip
    team_a.kubectl("label", "pod", "checked", "seen=yes")
    wait_for(
        "the tenant's own condition survives later statuses",
        lambda: condition(team_a.get("pod", "checked"), gate) == "True",
    )
    team_a.kubectl("delete", "pod", "checked")


def test_the_tenants_gate_is_seen_below(local: LocalSystem, team_a: TenantCluster) -> None:
    gate = "example.com/below"
    team_a.apply(pod("below", readinessGates=[{"conditionType": gate}]))
    team_a.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/below", "--timeout=150s")
    status = {"status": {"conditions": [{"type": gate, "status": "True"}]}}
    team_a.kubectl("patch", "pod", "below", "--subresource=status", "-p", yaml.safe_dump(status))
    wait_for(
        "the kubelet can see it",
        lambda: (
            condition(local.super.get("pod", "below", team_a.super_namespace()), gate) == "True"
        ),
    )
    assert condition(team_a.get("pod", "below"), gate) == "True"
    team_a.kubectl("delete", "pod", "below")


def test_an_eviction_below_is_a_disruption_above(local: LocalSystem, team_a: TenantCluster) -> None:
    team_a.apply(deployment("drained", replicas=1))
    name, node = wait_for(
        "it runs",
        lambda: next(
            (
                (item["metadata"]["name"], item["spec"]["nodeName"])
                for item in team_a.items("pods", "-l", "app=drained")
                if item["status"]["phase"] == "Running"
            ),
            None,
        ),
    )
    local.super.kubectl("cordon", node)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": team_a.super_namespace()},
    }
    path = f"/api/v1/namespaces/{team_a.super_namespace()}/pods/{name}/eviction"
    local.super.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    wait_for("the tenant's pod is gone", lambda: team_a.get("pod", name) is None)
    wait_for(
        "its replacement runs elsewhere",
        lambda: [
            item
            for item in team_a.items("pods", "-l", "app=drained")
            if item["status"]["phase"] == "Running" and item["spec"]["nodeName"] != node
        ],
    )
    local.super.kubectl("uncordon", node)
    team_a.kubectl("delete", "deployment", "drained")


def test_a_tenants_own_eviction_ends_the_pod(local: LocalSystem, team_a: TenantCluster) -> None:
    team_a.apply(pod("evicted"))
    team_a.kubectl("wait", "--for=condition=Ready", "pod/evicted", "--timeout=150s")
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "evicted", "namespace": "default"},
    }
    path = "/api/v1/namespaces/default/pods/evicted/eviction"
    team_a.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    wait_for("it is gone", lambda: team_a.get("pod", "evicted") is None)
    assert local.super.get("pod", "evicted", team_a.super_namespace()) is None


def test_nodes_come_and_go(local: LocalSystem, team_a: TenantCluster) -> None:
    template = local.super.get("node", "cpu-0", "")
    assert template is not None
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "visitor", "labels": {"kubernetes.io/hostname": "visitor"}},
        "status": {"capacity": {"cpu": "1"}, "allocatable": {"cpu": "1"}},
    }
    local.super.apply(node)
    wait_for("the node is shown", lambda: team_a.get("node", "visitor", ""))
    local.super.kubectl("delete", "node", "visitor")
    wait_for("it is gone", lambda: team_a.get("node", "visitor", "") is None)


def test_a_virtual_node_that_the_tenant_deletes_comes_back(team_a: TenantCluster) -> None:
    team_a.kubectl("delete", "node", "gpu-14")
    wait_for("it is back", lambda: team_a.get("node", "gpu-14", ""))


def test_nodes_appear_with_their_first_pod_if_so_wished(local: LocalSystem) -> None:
    path = local.state_directory / "sparse.yaml"
    spec = {
        "nodes": {"mode": "used", "selector": {"nvidia.com/gpu.present": "true"}},
        "dns": {"enabled": False},  # else there is a pod at once
    }
    path.write_text(yaml.safe_dump(spec))
    sparse = local.create_tenant("sparse", "--file", str(path))
    try:
        assert sparse.items("nodes") == []
        sparse.apply(pod("first"))
        sparse.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=150s")
        found = sparse.get("pod", "first")
        assert found is not None
        (node,) = sparse.items("nodes")
        assert node["metadata"]["name"] == found["spec"]["nodeName"]
        assert node["metadata"]["labels"]["nvidia.com/gpu.present"] == "true", "as selected"
        sparse.kubectl("delete", "pod", "first")
        wait_for("the node goes with its last pod", lambda: sparse.items("nodes") == [])
    finally:
        local.vc("delete", "sparse")
    assert local.super.get("virtualcluster", "sparse", "tenants") is None
    left = local.super.items("namespaces", "-l", f"virtualcluster.dev/tenant={sparse.key}")
    assert left == []
