"""A tenant's pods give way to its own more important ones, and to nobody else's."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import NODES, POD_DISRUPTION_BUDGETS, PODS, PRIORITY_CLASSES
from tests.builders import a_node, a_pod, with_metadata
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient cpu.",
}


def a_key(name: str) -> ObjectKey:
    return ObjectKey("default", name)


def a_worker(name: str, cpu: str = "4", **spec: Any) -> Object:
    container = {"name": "main", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return a_pod(name, containers=[container], **spec)


def with_room(name: str, cpu: str = "8") -> Object:
    node = a_node(name)
    return node | {"status": node["status"] | {"allocatable": {"cpu": cpu, "pods": "110"}}}


@pytest.fixture
async def acme(world: World) -> TenantCluster:
    """A tenant; the super cluster's one node with room has 8 CPUs."""
    world.super.create(NODES, with_room("big"))
    cluster = await world.add_tenant("acme")
    await world.start_syncer()
    return cluster


async def runs(cluster: TenantCluster, name: str, cpu: str = "4", **spec: Any) -> None:
    cluster.server.create(PODS, a_worker(name, cpu, **spec))
    await cluster.runs(a_key(name), "big")


async def finds_no_place(
    world: World, cluster: TenantCluster, name: str, cpu: str = "4", **spec: Any
) -> None:
    """The scheduler has tried the pod in vain."""
    cluster.server.create(PODS, a_worker(name, cpu, **spec))
    await cluster.goes_down(PODS, a_key(name))
    status = {"phase": "Pending", "conditions": [UNSCHEDULABLE]}
    world.super.patch(PODS, cluster.mirror_key(a_key(name)), {"status": status}, "status")


def nominated(cluster: TenantCluster, name: str) -> str:
    pod = cluster.mirror(PODS, a_key(name))
    return str(pod["status"].get("nominatedNodeName", "")) if pod else ""


def leaving(world: World) -> set[str]:
    return {
        pod["metadata"]["name"]
        for pod in world.super.objects(PODS)
        if "deletionTimestamp" in pod["metadata"]
    }


async def undisturbed(world: World, cluster: TenantCluster, name: str) -> None:
    """Wait until the tenant has been told that the pod finds no place; nobody has had to leave."""

    def told() -> bool:
        pod = cluster.server.live(PODS, a_key(name))
        conditions = pod["status"].get("conditions") or ()
        return any(item.get("reason") == "Unschedulable" for item in conditions)

    await eventually(told, f"{name} is told to find no place")
    await world.nothing_to_do()
    assert not leaving(world)
    assert not nominated(cluster, name)


async def test_the_less_important_pod_gives_way_and_its_room_is_kept(
    world: World, acme: TenantCluster
) -> None:
    await runs(acme, "worth-more", priority=5)
    await runs(acme, "worth-less", priority=1)
    await finds_no_place(world, acme, "urgent", priority=10)
    await eventually(lambda: leaving(world) == {"worth-less"}, "the least important pod leaves")
    assert nominated(acme, "urgent") == "big"
    mirror = acme.mirror(PODS, a_key("worth-less"))
    assert mirror is not None
    assert mirror["metadata"]["deletionGracePeriodSeconds"] == 30
    (target,) = [
        item for item in mirror["status"]["conditions"] if item["type"] == "DisruptionTarget"
    ]
    assert (target["status"], target["reason"]) == ("True", "PreemptionByScheduler")
    event = await acme.told("Preempted")
    assert event["type"] == "Normal"
    assert event["involvedObject"]["name"] == "worth-less"
    assert event["message"].endswith("on node big")

    def ends() -> bool:
        pod = acme.server.get(PODS, a_key("worth-less"))
        return pod is None or "deletionTimestamp" in pod["metadata"]

    await eventually(ends, "the tenant's pod ends too")


async def test_another_tenants_pods_never_give_way(world: World, acme: TenantCluster) -> None:
    other = await world.add_tenant("other")
    await world.in_step(other)
    await runs(other, "cheap", "8", priority=-100)
    await runs(acme, "cheap", "1", priority=0)
    await finds_no_place(world, acme, "urgent", "8", priority=2_000_000_000)
    await undisturbed(world, acme, "urgent")


@pytest.mark.parametrize(
    "spec",
    [
        {"priority": 0},
        {"priority": 10, "preemptionPolicy": "Never"},
        {"priority": 10, "nodeSelector": {"zone": "elsewhere"}},
        {"priority": 10, "topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]},
        {"priority": 10, "cpu": "9"},
    ],
    ids=["as important", "it says Never", "the node does not suit", "more than room", "too large"],
)
async def test_nobody_gives_way_in_vain(
    world: World, acme: TenantCluster, spec: dict[str, Any]
) -> None:
    await runs(acme, "there", "8", priority=0)
    await finds_no_place(world, acme, "urgent", **spec)
    await undisturbed(world, acme, "urgent")


async def test_two_at_once_are_not_given_the_same_room(world: World, acme: TenantCluster) -> None:
    await runs(acme, "one", priority=1)
    await runs(acme, "two", priority=2)
    await finds_no_place(world, acme, "first", priority=10)
    await finds_no_place(world, acme, "second", priority=10)
    await eventually(lambda: leaving(world) == {"one", "two"}, "both leave")
    assert nominated(acme, "first") == nominated(acme, "second") == "big"


async def test_a_budget_is_respected_where_it_can_be(world: World, acme: TenantCluster) -> None:
    labelled = with_metadata(a_worker("guarded", priority=1), labels={"app": "db"})
    acme.server.create(PODS, labelled)
    await acme.runs(a_key("guarded"), "big")
    await runs(acme, "plain", priority=5)
    budget = {
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}},
    }
    acme.server.create(POD_DISRUPTION_BUDGETS, budget)
    await acme.goes_down(POD_DISRUPTION_BUDGETS, a_key("db"))
    await finds_no_place(world, acme, "urgent", priority=10)
    await eventually(lambda: leaving(world) == {"plain"}, "the pod without a budget leaves")


@pytest.mark.parametrize(
    ("policy", "used"), [("Never", True), ("PreemptLowerPriority", False), (None, False)]
)
async def test_super_pods_are_of_our_class_if_it_preempts_nobody(
    world: World, policy: str | None, used: bool
) -> None:
    class_ = {"metadata": {"name": api.TENANT_PRIORITY_CLASS}, "value": 0}
    world.super.create(PRIORITY_CLASSES, class_ | ({"preemptionPolicy": policy} if policy else {}))
    acme = await world.add_tenant("acme")
    await world.start_syncer()
    acme.server.create(PODS, a_pod("any", priorityClassName="mine"))
    spec = (await acme.goes_down(PODS, a_key("any")))["spec"]
    assert spec.get("priorityClassName") == (api.TENANT_PRIORITY_CLASS if used else None)
