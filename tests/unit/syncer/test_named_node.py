"""Pods that name their node: they fail as by a kubelet where it cannot take them, else they wait."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import NODES, PODS, SECRETS
from tests.fakes.faults import Answer, Cut, Hang
from tests.fakes.waiting import eventually
from tests.unit.syncer.test_preemption import a_key, a_worker, leaving, runs, with_room
from tests.unit.syncer.world import TenantCluster, World

WEB = a_key("web")
NODE = ObjectKey("", "big")
PORTS = "0/2 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
CPU = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]."
AFFINITY = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
TAINT = "0/2 nodes are available: 1 node(s) had untolerated taint(s)."


@pytest.fixture
async def acme(world: World) -> TenantCluster:
    """A tenant that sees a node with room for 8 CPUs."""
    world.super.create(NODES, with_room("big"))
    cluster = await world.add_tenant("acme")
    await world.start_syncer()
    await eventually(lambda: cluster.server.get(NODES, NODE), "the node is up")
    return cluster


def says(world: World, acme: TenantCluster, message: str, name: str = "web") -> None:
    """The scheduler finds no place."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    status = {"phase": "Pending", "conditions": [condition]}
    world.super.patch(PODS, acme.mirror_key(a_key(name)), {"status": status}, "status")


async def unplaced(world: World, acme: TenantCluster, message: str, **spec: Any) -> str:
    """The UID of the super pod of a pod that names its node; the scheduler finds no place for it."""
    acme.server.create(PODS, a_worker("web", **{"nodeName": "big"} | spec))
    mirror = await acme.goes_down(PODS, WEB)
    says(world, acme, message)
    return str(mirror["metadata"]["uid"])


async def waits(world: World, acme: TenantCluster, uid: str) -> None:
    """It is told that there is no place, and goes on waiting."""

    def told() -> bool:
        conditions = acme.server.live(PODS, WEB)["status"].get("conditions") or ()
        return any(item.get("reason") == "Unschedulable" for item in conditions)

    await eventually(told, "the tenant is told")
    await world.nothing_to_do()
    mirror = acme.mirror(PODS, WEB)
    assert mirror is not None
    assert mirror["metadata"]["uid"] == uid


@pytest.mark.parametrize(
    ("said", "spec", "reason", "message"),
    [
        (
            PORTS,
            {},
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ),
        (
            CPU,
            {"cpu": "9"},
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 9000, capacity: 8000",
        ),
        (
            AFFINITY,
            {"nodeSelector": {"disk": "ssd"}},
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
    ],
)
async def test_the_pod_fails_and_its_super_pod_goes(
    world: World, acme: TenantCluster, said: str, spec: Object, reason: str, message: str
) -> None:
    await unplaced(world, acme, said, **spec)
    status = (await acme.shows(WEB, "Failed"))["status"]
    assert (status["reason"], status["message"]) == (reason, f"Pod was rejected: {message}")
    assert "startTime" in status
    assert status["observedGeneration"] == 1
    assert not status.get("conditions")
    event = await acme.told(reason)
    assert (event["type"], event["message"]) == ("Warning", message)
    await world.nothing_to_do()
    assert acme.mirror(PODS, WEB) is None
    # It stays as it is, over a restart too, until its owner replaces it.
    await world.kill_syncer()
    await world.start_syncer()
    await world.nothing_to_do()
    assert acme.mirror(PODS, WEB) is None
    assert acme.server.live(PODS, WEB)["status"] == status
    acme.server.delete(PODS, WEB)
    acme.server.create(PODS, a_worker("web", nodeName="big"))
    await acme.runs(WEB, "big")


@pytest.mark.parametrize(
    ("said", "spec"),
    [(TAINT, {}), (AFFINITY, {}), ("0/2 nodes are available: 1 Insufficient a.b/c.", {})],
    ids=["a taint", "the tenant's selector fits", "what no node has"],
)
async def test_for_anything_else_it_waits(
    world: World, acme: TenantCluster, said: str, spec: Object
) -> None:
    uid = await unplaced(world, acme, said, **spec)
    await waits(world, acme, uid)
    acme.start_pod(WEB, "big")
    await acme.shows(WEB, "Running")


async def test_a_pod_that_names_no_node_waits(world: World, acme: TenantCluster) -> None:
    uid = await unplaced(world, acme, PORTS, nodeName="")
    await waits(world, acme, uid)


async def test_a_pod_on_a_node_that_there_is_not_waits(world: World, acme: TenantCluster) -> None:
    invented = with_room("invented", "0")
    acme.server.create(NODES, invented)
    uid = await unplaced(world, acme, CPU, nodeName="invented")
    await waits(world, acme, uid)


async def test_a_node_that_is_not_the_tenants_is_none(world: World) -> None:
    world.super.create(NODES, with_room("big"))
    acme = await world.add_tenant("acme", {"nodes": {"selector": {"team": "acme"}}})
    await world.start_syncer()
    acme.server.create(NODES, with_room("big"))  # of that name one of its own
    uid = await unplaced(world, acme, AFFINITY, nodeSelector={"disk": "ssd"})
    await waits(world, acme, uid)


async def test_a_pod_that_is_placed_meanwhile_runs(world: World, acme: TenantCluster) -> None:
    """What the scheduler has said is no longer true when the super pod is about to be removed."""
    hang = acme.server.script.add("GET", "/nodes/big$", Hang())
    uid = await unplaced(world, acme, PORTS)
    await eventually(lambda: hang.hits, "the node is looked at")
    acme.start_pod(WEB, "big")
    hang.remove()
    await acme.shows(WEB, "Running")
    mirror = acme.mirror(PODS, WEB)
    assert mirror is not None
    assert mirror["metadata"]["uid"] == uid


@pytest.mark.parametrize("effect", [Cut(done=True), Cut()], ids=["done", "not done"])
async def test_an_answer_that_is_lost_changes_nothing(
    world: World, acme: TenantCluster, effect: Cut
) -> None:
    world.super.script.add("DELETE", "/pods/web$", effect)
    await unplaced(world, acme, PORTS)
    assert (await acme.shows(WEB, "Failed"))["status"]["reason"] == "NodePorts"
    await eventually(lambda: acme.mirror(PODS, WEB) is None, "the super pod is gone")


async def test_a_tenant_that_does_not_take_the_status_gets_no_other_super_pod(
    world: World, acme: TenantCluster
) -> None:
    refused = acme.server.script.add_for_good("PATCH", "/pods/web/status$", Answer(500))
    await unplaced(world, acme, PORTS)
    await eventually(lambda: refused.hits, "the super pod is gone, the tenant does not know")
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"a": "b"}}})
    acme.server.create(PODS, a_worker("other"))
    await acme.goes_down(PODS, a_key("other"))
    refused.remove()
    assert (await acme.shows(WEB, "Failed"))["status"]["reason"] == "NodePorts"
    made = [call for call in world.super.script.log if (call.verb, call.plural) == ("POST", "pods")]
    assert len([call for call in made if call.json["metadata"]["name"] == "web"]) == 1


async def test_a_syncer_that_dies_after_the_super_pod_begins_anew(
    world: World, acme: TenantCluster
) -> None:
    refused = acme.server.script.add_for_good("PATCH", "/pods/web/status$", Answer(500))
    uid = await unplaced(world, acme, PORTS)
    await eventually(lambda: refused.hits, "the super pod is gone, the tenant does not know")
    await world.kill_syncer()
    refused.remove()
    await world.start_syncer()
    mirror = await acme.goes_down(PODS, WEB)
    assert mirror["metadata"]["uid"] != uid
    says(world, acme, PORTS)
    await acme.shows(WEB, "Failed")


async def test_its_less_important_neighbours_stay(world: World, acme: TenantCluster) -> None:
    await runs(acme, "there", "8", priority=0)
    await unplaced(world, acme, CPU, priority=10)
    await acme.shows(WEB, "Failed")
    await world.nothing_to_do()
    assert not leaving(world)


async def test_a_critical_pod_takes_their_room(world: World, acme: TenantCluster) -> None:
    await runs(acme, "there", "8", priority=0)
    await unplaced(world, acme, CPU, priority=2_000_000_000)
    await eventually(lambda: leaving(world) == {"there"}, "room is made, as by a kubelet")
    assert acme.server.live(PODS, WEB)["status"].get("phase") != "Failed"


async def made_for(acme: TenantCluster, node: str, before: str) -> Object:
    """The super pod that follows another one, and is for one node only."""

    def another() -> Object | None:
        mirror = acme.mirror(PODS, WEB)
        return mirror if mirror is not None and mirror["metadata"]["uid"] != before else None

    mirror = await eventually(another, "there is another super pod")
    required = mirror["spec"]["affinity"]["nodeAffinity"]
    (term,) = required["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert {"key": "metadata.name", "operator": "In", "values": [node]} in term["matchFields"]
    return mirror


async def test_a_pod_that_its_tenant_binds_while_it_waits_runs_there(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_worker("web"))
    first = str((await acme.goes_down(PODS, WEB))["metadata"]["uid"])
    acme.server.bind(PODS, WEB, "big")
    await made_for(acme, "big", first)
    await acme.runs(WEB, "big")
    await world.nothing_to_do()
    assert acme.server.live(PODS, WEB)["status"]["phase"] == "Running"


async def test_a_pod_that_its_tenant_binds_to_a_node_that_is_full_fails_as_by_a_kubelet(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_worker("web", cpu="9"))
    first = str((await acme.goes_down(PODS, WEB))["metadata"]["uid"])
    acme.server.bind(PODS, WEB, "big")
    await made_for(acme, "big", first)
    says(world, acme, CPU)
    status = (await acme.shows(WEB, "Failed"))["status"]
    assert status["reason"] == "OutOfcpu"
    await world.nothing_to_do()
    assert acme.mirror(PODS, WEB) is None


async def bound_twice(world: World, acme: TenantCluster, *faults: Cut) -> str:
    """The UID of a super pod that has to leave the node to which it was bound in the same moment."""
    world.super.create(NODES, with_room("other"))
    acme.server.create(PODS, a_worker("web"))
    mirror = await acme.goes_down(PODS, WEB)
    hang = acme.server.script.add_for_good("POST", "pods/web/binding", Hang())
    world.super.bind(PODS, acme.mirror_key(WEB), "other")
    await eventually(lambda: hang.hits, "it is being bound to the one")
    for fault in faults:
        world.super.script.add("DELETE", "/pods/web$", fault)
    acme.server.bind(PODS, WEB, "big")
    hang.remove()
    await eventually(lambda: leaving(world) == {"web"}, "it has to leave the other node")
    return str(mirror["metadata"]["uid"])


async def runs_where_it_is_bound(world: World, acme: TenantCluster, uid: str, before: str) -> None:
    """The super pod has ended: the tenant's pod lives on, with another one."""
    last = {"status": {"phase": "Running", "message": "about to end"}}
    world.super.patch(PODS, acme.mirror_key(WEB), last, "status")
    acme.server.create(PODS, a_worker("next", cpu="1"))
    await acme.runs(a_key("next"), "big")  # what was said before has been heard
    await world.nothing_to_do()
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await made_for(acme, "big", before)
    await acme.runs(WEB, "big")
    await world.nothing_to_do()
    live = acme.server.live(PODS, WEB)
    assert (live["metadata"]["uid"], live["spec"]["nodeName"]) == (uid, "big")
    assert live["status"]["phase"] == "Running"


def uid_of(acme: TenantCluster) -> str:
    return str(acme.server.live(PODS, WEB)["metadata"]["uid"])


async def test_a_pod_that_both_have_bound_runs_where_its_tenant_says(
    world: World, acme: TenantCluster
) -> None:
    before = await bound_twice(world, acme)
    await runs_where_it_is_bound(world, acme, uid_of(acme), before)


async def test_a_pod_that_is_changed_while_its_super_pod_leaves_lives_on(
    world: World, acme: TenantCluster
) -> None:
    before = await bound_twice(world, acme)
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"a": "b"}}})
    await eventually(
        lambda: "a" in (acme.mirror(PODS, WEB) or {})["metadata"]["labels"], "it is changed below"
    )
    await runs_where_it_is_bound(world, acme, uid_of(acme), before)


async def test_a_pod_whose_super_pods_removal_had_no_answer_lives_on(
    world: World, acme: TenantCluster
) -> None:
    before = await bound_twice(world, acme, Cut(done=True))
    await world.nothing_to_do()
    await runs_where_it_is_bound(world, acme, uid_of(acme), before)


async def test_a_pod_that_is_bound_before_it_can_go_down_goes_down_for_that_node(
    world: World, acme: TenantCluster
) -> None:
    secret = {"name": "v", "secret": {"secretName": "later"}}
    acme.server.create(PODS, a_worker("web", volumes=[secret]))
    await acme.told("FailedMount")
    uid = uid_of(acme)
    acme.server.bind(PODS, WEB, "big")
    acme.server.create(SECRETS, {"metadata": {"name": "later", "namespace": "default"}})
    await made_for(acme, "big", "")
    await acme.runs(WEB, "big")
    assert uid_of(acme) == uid


async def test_a_pod_that_is_bound_while_its_super_pod_is_being_made_runs_there(
    world: World, acme: TenantCluster
) -> None:
    hang = world.super.script.add_for_good("POST", "/pods$", Hang())
    acme.server.create(PODS, a_worker("web"))
    await eventually(lambda: hang.hits, "it is being made")
    acme.server.bind(PODS, WEB, "big")
    acme.server.send_bookmarks()
    hang.remove()

    def for_that_node() -> bool:
        mirror = acme.mirror(PODS, WEB)
        return mirror is not None and bool(mirror["spec"].get("affinity"))

    await eventually(for_that_node, "there is one for that node")
    await acme.runs(WEB, "big")


async def test_a_node_to_which_a_pod_was_not_bound_after_all_is_not_in_use(world: World) -> None:
    world.super.create(NODES, with_room("big"))
    acme = await world.add_tenant("acme", {"nodes": {"mode": "used"}})
    await world.start_syncer()
    before = await bound_twice(world, acme)
    await runs_where_it_is_bound(world, acme, uid_of(acme), before)
    await eventually(
        lambda: not acme.server.get(NODES, ObjectKey("", "other")), "the other node is not shown"
    )
