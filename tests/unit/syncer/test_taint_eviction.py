"""A tenant's own NoExecute taints evict its own pods, as kube-controller-manager would."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import EVENTS, NODES, PODS
from tests.builders import a_node, a_pod
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World

NODE = ObjectKey("", "node-1")
MINE = {"key": "mine", "effect": "NoExecute"}
FOR_EVER = {"key": "mine", "operator": "Exists"}


def a_key(name: str) -> ObjectKey:
    return ObjectKey("default", name)


def for_seconds(seconds: int, key: str = "mine") -> Object:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}


def taint(acme: TenantCluster, *taints: Object) -> None:
    acme.server.patch(NODES, NODE, {"spec": {"taints": list(taints) or None}})


def leaves(cluster: TenantCluster, name: str) -> bool:
    pod = cluster.server.get(PODS, a_key(name))
    return pod is None or "deletionTimestamp" in pod["metadata"]


def said(acme: TenantCluster, name: str) -> list[str]:
    return [
        event["message"]
        for event in acme.server.objects(EVENTS)
        if event["reason"] == "TaintManagerEviction" and event["involvedObject"]["name"] == name
    ]


async def runs(cluster: TenantCluster, name: str, *tolerations: Object, **spec: Any) -> None:
    cluster.server.create(PODS, a_pod(name, tolerations=list(tolerations), **spec))
    await cluster.runs(a_key(name))


async def is_evicted(cluster: TenantCluster, name: str) -> None:
    await eventually(lambda: leaves(cluster, name), f"{name} is evicted")


async def taken_up(world: World, acme: TenantCluster, name: str, reads: int) -> None:
    """Wait until the syncer has looked what the pod tolerates, so often in all."""

    def looked() -> bool:
        calls = acme.server.script.calls("GET", "pods")
        return len([call for call in calls if call.name == name]) >= reads

    await eventually(looked, f"what {name} tolerates is looked at")
    await world.nothing_to_do()


@pytest.fixture
async def acme(world: World) -> TenantCluster:
    cluster = await world.add_tenant("acme")
    await world.start_syncer()
    await eventually(lambda: cluster.server.get(NODES, NODE), "the node is up")
    return cluster


async def test_who_does_not_tolerate_it_is_evicted_and_who_does_stays(
    world: World, acme: TenantCluster
) -> None:
    globex = await world.add_tenant("globex")
    await world.in_step(globex)
    await runs(globex, "neighbour")
    await runs(acme, "tolerant", FOR_EVER)
    await runs(acme, "patient", for_seconds(3600))
    await runs(acme, "other", for_seconds(3600, "another"))
    await runs(acme, "plain")
    acme.server.script.add("DELETE", "/pods/plain$", Answer(503))
    taint(acme, MINE)
    await is_evicted(acme, "plain")
    await is_evicted(acme, "other")
    await eventually(
        lambda: "deletionTimestamp" in (acme.mirror(PODS, a_key("other")) or {})["metadata"],
        "its super pod too",
    )
    await world.nothing_to_do()
    written = [
        condition
        for call in acme.server.script.calls("PATCH", "pods", "status")
        if call.name == "plain" and "strategic" in call.content_type
        for condition in call.json["status"]["conditions"]
    ]
    assert {(item["type"], item["reason"]) for item in written} == {
        ("DisruptionTarget", "DeletionByTaintManager")
    }
    assert said(acme, "plain") == ["Marking for deletion Pod default/plain"]
    assert not leaves(acme, "tolerant")
    assert not leaves(acme, "patient")
    assert not leaves(globex, "neighbour")
    assert not said(acme, "patient")


async def test_the_time_that_a_pod_tolerates_it_is_waited_for(acme: TenantCluster) -> None:
    await runs(acme, "short", for_seconds(1))
    await runs(acme, "long", for_seconds(3600))
    taint(acme, MINE)
    await is_evicted(acme, "short")
    assert not leaves(acme, "long")


async def test_an_eviction_is_called_off_when_the_taint_goes(
    world: World, acme: TenantCluster
) -> None:
    await runs(acme, "patient", for_seconds(3600))
    taint(acme, MINE)
    await taken_up(world, acme, "patient", 1)
    taint(acme)
    await eventually(lambda: said(acme, "patient"), "it is called off")
    assert said(acme, "patient") == ["Cancelling deletion of Pod default/patient"]
    assert not leaves(acme, "patient")


async def test_a_pod_that_is_bound_under_a_taint_and_one_that_tolerates_less_have_to_go(
    world: World, acme: TenantCluster
) -> None:
    taint(acme, MINE)
    acme.server.create(PODS, a_pod("late"))
    await acme.goes_down(PODS, a_key("late"))
    acme.start_pod(a_key("late"))  # it was about to be bound when the taint came
    await is_evicted(acme, "late")
    await runs(acme, "patient", for_seconds(3600))
    await taken_up(world, acme, "patient", 1)
    assert not leaves(acme, "patient")
    pod = acme.server.live(PODS, a_key("patient"))
    kept = [item for item in pod["spec"]["tolerations"] if item["key"] != "mine"]
    shorter = {"spec": {"tolerations": [*kept, for_seconds(0)]}}
    acme.server.patch(PODS, a_key("patient"), shorter)
    await is_evicted(acme, "patient")


async def test_a_taint_beside_one_that_is_tolerated_for_ever_counts_alone(
    world: World, acme: TenantCluster
) -> None:
    await runs(acme, "patient", FOR_EVER, for_seconds(3600, "second"))
    taint(acme, MINE)
    await taken_up(world, acme, "patient", 1)
    taint(acme, MINE, {"key": "second", "effect": "NoExecute"})
    await taken_up(world, acme, "patient", 2)
    assert not said(acme, "patient")
    taint(acme, MINE)
    await eventually(lambda: said(acme, "patient"), "it is called off")
    assert not leaves(acme, "patient")


async def test_a_taint_that_comes_while_no_syncer_runs_evicts_when_one_starts(
    world: World, acme: TenantCluster
) -> None:
    await runs(acme, "plain")
    await world.kill_syncer()
    taint(acme, MINE)
    await world.start_syncer()
    await is_evicted(acme, "plain")


async def test_the_providers_taint_is_the_super_clusters_business(
    world: World, acme: TenantCluster
) -> None:
    """Its super pod may tolerate it by a toleration that the tenant's pod does not have."""
    await runs(acme, "plain")
    world.super.patch(NODES, NODE, {"spec": {"taints": [MINE]}})
    await eventually(
        lambda: (acme.server.live(NODES, NODE).get("spec") or {}).get("taints"), "it is shown"
    )
    await world.nothing_to_do()
    assert not leaves(acme, "plain")


async def test_a_node_that_the_tenant_has_invented_evicts_nobody(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(NODES, a_node("mine") | {"spec": {"taints": [MINE]}})
    acme.server.create(PODS, a_pod("lost", nodeName="mine"))
    await acme.goes_down(PODS, a_key("lost"))
    await world.nothing_to_do()
    assert not leaves(acme, "lost")
