"""Resources that a tenant gives to its virtual nodes: its pods share them, and nobody else hears of it."""

from typing import Any

import msgspec
import pytest

from kube.objects import Object, ObjectKey
from kube.resources import EVENTS, NODES, PODS
from syncer.entries import Entry, entry_decoder
from syncer.kinds.mirror import KEYS_ANNOTATIONS, Refused
from syncer.kinds.node_labels import HOSTNAME
from syncer.kinds.virtual_nodes import NOWHERE
from syncer.own_nodes import OwnNodes
from tests.builders import a_node, a_pod, with_metadata
from tests.fakes.status import forbidden
from tests.fakes.targets import Target
from tests.fakes.waiting import eventually
from tests.unit.kinds.builders import ACME
from tests.unit.syncer.test_preemption import UNSCHEDULABLE, leaving
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

FOO = "example.com/foo"


def a_key(name: str) -> ObjectKey:
    return ObjectKey("default", name)


def a_worker(name: str, amount: str = "2", **spec: Any) -> Object:
    resources = {"requests": {"cpu": "1", FOO: amount}, "limits": {FOO: amount}}
    containers = [{"name": "main", "image": "i", "resources": resources}]
    return a_pod(name, containers=containers, **spec)


@pytest.fixture
async def acme(world: World) -> TenantCluster:
    """A tenant that is shown two more nodes."""
    for name in ("one", "two"):
        node = a_node(name, **{HOSTNAME: name})
        allocatable = {"cpu": "8", "pods": "110"}
        status = node["status"] | {"allocatable": allocatable, "capacity": allocatable}
        world.super.create(NODES, node | {"status": status})
    cluster = await world.add_tenant("acme")
    await world.start_syncer()
    await eventually(lambda: len(cluster.server.objects(NODES)) == 3, "the nodes are up")
    return cluster


async def give(cluster: TenantCluster, node: str, amount: str | None) -> None:
    """Do what ``kubectl patch node --subresource=status`` does, and wait for the answer to it."""
    status = {"capacity": {FOO: amount}}
    cluster.server.patch(NODES, ObjectKey("", node), {"status": status}, "status")

    def seen() -> bool:
        live = cluster.server.live(NODES, ObjectKey("", node))
        return bool(live["status"]["allocatable"].get(FOO) == amount)

    await eventually(seen, f"{node} has {amount}")


def places(cluster: TenantCluster, name: str) -> list[str] | None:
    """The nodes to which the super pod may go; None: it is not there, or asks for the resource itself."""
    pod = cluster.mirror(PODS, a_key(name))
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return None
    resources = pod["spec"]["containers"][0]["resources"]
    if FOO in {**resources.get("requests", {}), **resources.get("limits", {})}:
        return None
    nodes = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = nodes.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    (term,) = required.get("nodeSelectorTerms") or [{}]
    (named,) = [item for item in term["matchExpressions"] if item["key"] == HOSTNAME]
    return list(named["values"])


async def may_go(cluster: TenantCluster, name: str, *nodes: str) -> None:
    wanted = list(nodes) or [NOWHERE]
    await eventually(lambda: places(cluster, name) == wanted, f"{name} may go to {wanted}")


async def test_pods_share_what_their_tenant_gave_to_its_nodes(
    world: World, acme: TenantCluster
) -> None:
    await give(acme, "one", "3")
    await give(acme, "two", "2")
    acme.server.create(PODS, a_worker("first"))
    await may_go(acme, "first", "one", "two")
    acme.server.create(PODS, a_worker("second"))
    await may_go(acme, "second")
    said = await acme.told("InsufficientResource")
    assert "2 example.com/foo" in said["message"]
    await acme.runs(a_key("first"), "one")
    await may_go(acme, "second", "two")
    await acme.runs(a_key("second"), "two")
    pod = acme.server.live(PODS, a_key("second"))
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {FOO: "2"}
    nodes = [node for node in world.super.objects(NODES) if FOO in str(node["status"])]
    assert not nodes, "the provider's nodes hear nothing of it"


async def test_who_ends_makes_room(acme: TenantCluster) -> None:
    await give(acme, "one", "2")
    acme.server.create(PODS, a_worker("first"))
    await may_go(acme, "first", "one")
    await acme.runs(a_key("first"), "one")
    acme.server.create(PODS, a_worker("second"))
    await may_go(acme, "second")
    acme.server.patch(PODS, a_key("first"), {"status": {"phase": "Succeeded"}}, "status")
    await may_go(acme, "second", "one")


async def test_a_pod_that_waits_for_a_resource_gets_it_when_a_node_does(
    acme: TenantCluster,
) -> None:
    acme.server.create(PODS, a_worker("early"))
    mirror = await acme.goes_down(PODS, a_key("early"))
    assert mirror["spec"]["containers"][0]["resources"]["limits"] == {FOO: "2"}
    await give(acme, "two", "2")
    await may_go(acme, "early", "two")
    await give(acme, "two", None)

    def asks_itself() -> bool:
        pod = acme.mirror(PODS, a_key("early"))
        return pod is not None and FOO in pod["spec"]["containers"][0]["resources"]["limits"]

    await eventually(asks_itself, "nobody has it any more: the scheduler says so")


async def test_what_the_providers_nodes_have_is_no_tenants(
    world: World, acme: TenantCluster
) -> None:
    status = {"capacity": {FOO: "1"}, "allocatable": {FOO: "1"}}
    world.super.patch(NODES, ObjectKey("", "two"), {"status": status}, "status")

    def shown() -> bool:
        live = acme.server.live(NODES, ObjectKey("", "two"))
        return bool(live["status"]["allocatable"].get(FOO) == "1")

    await eventually(shown, "the tenant sees the provider's")
    acme.server.patch(NODES, ObjectKey("", "one"), {"status": {"capacity": {FOO: "99"}}}, "status")
    acme.server.create(PODS, a_worker("greedy"))
    mirror = await acme.goes_down(PODS, a_key("greedy"))
    assert mirror["spec"]["containers"][0]["resources"]["limits"] == {FOO: "2"}


async def test_a_new_syncer_counts_what_is_there(world: World, acme: TenantCluster) -> None:
    await give(acme, "one", "4")
    acme.server.create(PODS, a_worker("runs"))
    await may_go(acme, "runs", "one")
    await acme.runs(a_key("runs"), "one")
    acme.server.create(PODS, a_worker("waits"))
    await may_go(acme, "waits", "one")
    await world.kill_syncer()
    acme.server.create(PODS, a_worker("third"))
    await world.start_syncer()
    await may_go(acme, "third")
    await may_go(acme, "waits", "one")


async def test_the_less_important_pod_gives_its_room_away(
    world: World, acme: TenantCluster
) -> None:
    await give(acme, "one", "5")
    for name, priority in (("low", 1), ("middle", 5)):
        acme.server.create(PODS, a_worker(name, priority=priority))
        await may_go(acme, name, "one")
        await acme.runs(a_key(name), "one")
    acme.server.create(PODS, a_worker("urgent", "3", priority=10))
    await may_go(acme, "urgent")
    status = {"phase": "Pending", "conditions": [UNSCHEDULABLE]}
    world.super.patch(PODS, acme.mirror_key(a_key("urgent")), {"status": status}, "status")
    await eventually(lambda: leaving(world) == {"low"}, "the least important pod leaves")
    acme.server.create(PODS, a_worker("like-low", "1", priority=1))
    await may_go(acme, "like-low")  # of the five one is free, but two are not enough for the urgent
    world.super.delete(PODS, acme.mirror_key(a_key("low")), grace=0)
    await may_go(acme, "urgent", "one")
    assert places(acme, "like-low") == [NOWHERE], "the room was made for another"


async def test_a_pod_that_finds_no_place_where_it_may_go_gets_more_nodes(
    world: World, acme: TenantCluster
) -> None:
    await give(acme, "one", "2")
    acme.server.create(PODS, a_worker("first"))
    await may_go(acme, "first", "one")
    await give(acme, "two", "2")
    await world.nothing_to_do()
    assert places(acme, "first") == ["one"], "it has enough"
    status = {"phase": "Pending", "conditions": [UNSCHEDULABLE]}
    world.super.patch(PODS, acme.mirror_key(a_key("first")), {"status": status}, "status")
    await may_go(acme, "first", "one", "two")


@pytest.mark.parametrize("by", ["us", "the super cluster"])
async def test_a_pod_that_is_refused_holds_nothing(
    world: World, acme: TenantCluster, by: str
) -> None:
    def refuses(target: Target, _obj: Object) -> None:
        if (target.plural, target.name) == ("pods", "refused"):
            raise forbidden("pods", target.name, "the super cluster does not want it")

    await give(acme, "one", "2")
    if by != "us":
        world.super.verbs.admission.append(refuses)
    acme.server.create(PODS, a_worker("refused", hostNetwork=by == "us"))
    await eventually(lambda: acme.server.objects(EVENTS), "the tenant is told")
    acme.server.create(PODS, a_worker("good"))
    await may_go(acme, "good", "one")


@pytest.mark.parametrize(
    "away",
    [{"unschedulable": True}, {"taints": [{"key": "not-ready", "effect": "NoSchedule"}]}],
    ids=["cordoned", "tainted"],
)
async def test_a_node_that_takes_pods_again_is_offered_to_who_waits(
    world: World, acme: TenantCluster, away: Object
) -> None:
    await give(acme, "one", "2")
    node = ObjectKey("", "one")
    world.super.patch(NODES, node, {"spec": away})

    def is_away() -> bool:
        spec = acme.server.live(NODES, node).get("spec") or {}
        return all(spec.get(field) == value for field, value in away.items())

    await eventually(is_away, "the tenant sees it")
    acme.server.create(PODS, a_worker("waits"))
    await may_go(acme, "waits")
    world.super.patch(NODES, node, {"spec": dict.fromkeys(away)})
    await may_go(acme, "waits", "one")


async def test_what_a_smaller_capacity_leaves_is_offered_to_who_waits(acme: TenantCluster) -> None:
    await give(acme, "one", "5")
    acme.server.create(PODS, a_worker("large", "5"))
    await may_go(acme, "large", "one")
    for name in ("a", "b", "c"):
        acme.server.create(PODS, a_worker(name))
        await may_go(acme, name)
    await give(acme, "one", "3")
    await may_go(acme, "large")
    waiting = ("a", "b", "c")
    await eventually(lambda: [places(acme, name) for name in waiting].count(["one"]) == 1, "one")


async def test_a_new_syncer_leaves_room_to_whom_it_was_given(
    world: World, acme: TenantCluster
) -> None:
    await give(acme, "one", "2")
    acme.server.create(PODS, a_worker("first"))
    await may_go(acme, "first", "one")
    uid = (acme.mirror(PODS, a_key("first")) or {})["metadata"]["uid"]
    for name in ("a", "b", "c"):
        acme.server.create(PODS, a_worker(name))
        await may_go(acme, name)
    await world.kill_syncer()
    await world.start_syncer()
    await world.nothing_to_do()
    mirror = acme.mirror(PODS, a_key("first")) or {}
    assert mirror["metadata"]["uid"] == uid, "nobody has made it anew"
    assert places(acme, "a") == places(acme, "b") == [NOWHERE]


def an_entry(node: Object) -> Entry:
    return entry_decoder(keep_bytes=True)(msgspec.json.encode(node))[1]


def test_a_taint_and_a_resource_may_come_and_go_together() -> None:
    keys = ("taints", "resources")
    marks = {api.UID_ANNOTATION: "real"} | {KEYS_ANNOTATIONS[key]: "" for key in keys}
    node = with_metadata(a_node("one"), uid="u", resourceVersion="1", annotations=marks)
    taint = {"key": "mine", "effect": "NoSchedule"}
    copy = an_entry(node | {"spec": {"taints": [taint]}, "status": {"capacity": {FOO: "1"}}})
    own = OwnNodes(ACME, list, lambda _name: None)
    own.changed("one", None, copy)
    assert own.room.capacity("one")
    own.changed("one", copy, None)
    assert not own.room.nodes()
    assert not own.speak_of("one")


def test_a_pod_that_would_take_long_to_look_at_is_refused() -> None:
    marks = {api.UID_ANNOTATION: "real", KEYS_ANNOTATIONS["resources"]: ""}
    own = OwnNodes(ACME, list, lambda _name: None)
    for number in range(100):
        node = with_metadata(
            a_node(f"node-{number}"), uid="u", resourceVersion="1", annotations=marks
        )
        copy = an_entry(node | {"status": {"capacity": {FOO: "1"}}})
        own.changed(f"node-{number}", None, copy)
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["x" * 60]}]}
    ] * 300
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    pod = with_metadata(a_worker("long", affinity={"nodeAffinity": required}), uid="uid-long")
    with pytest.raises(Refused, match=r"spec\.affinity"):
        own.named(a_key("long"), pod, pod)


def test_what_a_node_really_has_is_no_tenants_whatever_the_record_says() -> None:
    real = with_metadata(a_node("one", **{HOSTNAME: "one"}), uid="real", resourceVersion="1")
    real = real | {"status": {"capacity": {FOO: "1"}, "allocatable": {FOO: "1"}}}
    forged = {api.UID_ANNOTATION: "real", KEYS_ANNOTATIONS["resources"]: ""}
    copy = an_entry(with_metadata(real, annotations=forged))
    own = OwnNodes(ACME, lambda: [copy], {"one": an_entry(real)}.get)
    own.changed("one", None, copy)
    assert own.room.nodes(), "it says that it is the tenant's own"
    pod = with_metadata(a_worker("greedy"), uid="uid-greedy")
    assert own.named(a_key("greedy"), pod, pod) is pod
    assert not own.room.get(a_key("greedy"))
