"""A tenant's own labels and taints on its virtual nodes: its pods go where they ask to, and no further."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import NODES, PODS
from syncer.kinds.node_labels import HOSTNAME
from tests.builders import a_node, a_pod, with_metadata
from tests.fakes.faults import Slow
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")
SELECTIVE: Object = {"nodeSelector": {"disk": "ssd"}}


@pytest.fixture
async def acme(world: World) -> TenantCluster:
    """A tenant that is shown two more nodes."""
    for name in ("fast", "slow"):
        world.super.create(NODES, a_node(name, **{HOSTNAME: name}))
    cluster = await world.add_tenant("acme")
    await world.start_syncer()
    await eventually(lambda: len(cluster.server.objects(NODES)) == 3, "the nodes are up")
    return cluster


def label(acme: TenantCluster, name: str, value: str | None) -> None:
    acme.server.patch(NODES, ObjectKey("", name), {"metadata": {"labels": {"disk": value}}})


async def asks_for(acme: TenantCluster, *names: str, pod_key: ObjectKey = WEB) -> Object:
    """Wait until the super pod asks for these nodes by name."""

    def asking() -> Object | None:
        pod = acme.mirror(PODS, pod_key) or {"spec": {}}
        nodes = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
        required = nodes.get("requiredDuringSchedulingIgnoredDuringExecution", {})
        named = {"key": HOSTNAME, "operator": "In", "values": list(names)}
        expected = [{"matchExpressions": [named]}] if names else []
        return pod if pod["spec"] and required.get("nodeSelectorTerms", []) == expected else None

    return await eventually(asking, f"the super pod asks for {names}")


async def test_a_pod_goes_to_a_node_by_a_label_that_only_its_tenant_knows(
    acme: TenantCluster,
) -> None:
    label(acme, "fast", "ssd")
    acme.server.create(PODS, a_pod(**SELECTIVE))
    mirror = await asks_for(acme, "fast")
    assert "nodeSelector" not in mirror["spec"]
    await acme.runs(WEB, "fast")
    assert acme.server.live(PODS, WEB)["spec"]["nodeSelector"] == {"disk": "ssd"}


async def test_a_pod_that_waits_for_a_label_is_sent_anew_when_a_node_gets_or_loses_it(
    acme: TenantCluster,
) -> None:
    uid = acme.server.create(PODS, a_pod(**SELECTIVE))["metadata"]["uid"]
    first = await acme.goes_down(PODS, WEB)
    assert first["spec"]["nodeSelector"] == {"disk": "ssd"}
    label(acme, "slow", "ssd")
    await asks_for(acme, "slow")
    label(acme, "fast", "ssd")
    await asks_for(acme, "fast", "slow")
    label(acme, "slow", None)
    await asks_for(acme, "fast")
    label(acme, "fast", None)
    await asks_for(acme)
    label(acme, "fast", "ssd")
    await asks_for(acme, "fast")
    pod = acme.server.live(PODS, WEB)
    assert (pod["metadata"]["uid"], "deletionTimestamp" in pod["metadata"]) == (uid, False)
    assert not pod.get("status", {}).get("conditions"), "nothing has disrupted it"


async def test_a_super_pod_that_takes_time_to_go_does_not_end_the_tenants_pod(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod(**SELECTIVE))
    await acme.goes_down(PODS, WEB)
    world.super.patch(PODS, acme.mirror_key(WEB), {"metadata": {"finalizers": ["a/held"]}})
    label(acme, "fast", "ssd")
    await eventually(
        lambda: "deletionTimestamp" in (acme.mirror(PODS, WEB) or {"metadata": {}})["metadata"],
        "the super pod is being deleted",
    )
    await world.nothing_to_do()
    assert "deletionTimestamp" not in acme.server.live(PODS, WEB)["metadata"]
    world.super.patch(PODS, acme.mirror_key(WEB), {"metadata": {"finalizers": None}})
    await asks_for(acme, "fast")


async def test_a_pod_that_is_bound_while_it_is_about_to_be_sent_anew_stays(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod(**SELECTIVE))
    first = await acme.goes_down(PODS, WEB)
    asked = world.super.script.add("DELETE", "/pods/web$", Slow(0.5))
    label(acme, "fast", "ssd")
    await eventually(lambda: asked.hits, "the syncer wants to delete the super pod")
    await acme.runs(WEB, "slow")
    await world.nothing_to_do()
    mirror = acme.mirror(PODS, WEB) or {}
    assert mirror["metadata"]["uid"] == first["metadata"]["uid"]
    assert "deletionTimestamp" not in mirror["metadata"]
    assert acme.server.live(PODS, WEB)["spec"]["nodeName"] == "slow"


async def test_a_label_that_goes_leaves_a_pod_that_is_bound_alone(
    world: World, acme: TenantCluster
) -> None:
    label(acme, "fast", "ssd")
    acme.server.create(PODS, a_pod(**SELECTIVE))
    bound = await asks_for(acme, "fast")
    await acme.runs(WEB, "fast")
    label(acme, "fast", None)
    acme.server.create(PODS, a_pod("after", **SELECTIVE))
    await asks_for(acme, pod_key=ObjectKey("default", "after"))
    await world.nothing_to_do()
    assert acme.mirror(PODS, WEB)["metadata"]["uid"] == bound["metadata"]["uid"]  # type: ignore[index]


async def test_a_gated_pod_goes_on_to_ask_for_names_when_its_gate_goes(
    acme: TenantCluster,
) -> None:
    label(acme, "fast", "ssd")
    acme.server.create(PODS, a_pod(schedulingGates=[{"name": "a/mine"}], **SELECTIVE))
    first = await asks_for(acme, "fast")
    acme.server.patch(PODS, WEB, {"spec": {"schedulingGates": None}})
    await eventually(
        lambda: not (acme.mirror(PODS, WEB) or {"spec": SELECTIVE})["spec"].get("schedulingGates"),
        "the gate is gone",
    )
    mirror = await asks_for(acme, "fast")
    assert "nodeSelector" not in mirror["spec"]
    assert mirror["metadata"]["uid"] == first["metadata"]["uid"]


async def test_a_label_that_is_given_while_no_syncer_runs_counts_when_one_starts(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod(**SELECTIVE))
    await acme.goes_down(PODS, WEB)
    await world.kill_syncer()
    label(acme, "fast", "ssd")
    await world.start_syncer()
    first = await asks_for(acme, "fast")
    await world.kill_syncer()
    await world.start_syncer()
    await world.nothing_to_do()
    assert acme.mirror(PODS, WEB)["metadata"]["uid"] == first["metadata"]["uid"]  # type: ignore[index]


def set_spec(acme: TenantCluster, name: str, **spec: Any) -> None:
    acme.server.patch(NODES, ObjectKey("", name), {"spec": spec})


def a_taint(key: str = "mine", effect: str = "NoSchedule") -> Object:
    return {"key": key, "effect": effect}


def required(pod: Object | None) -> list[Object]:
    nodes = (pod or {"spec": {}})["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms: list[Object] = nodes.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get(
        "nodeSelectorTerms", []
    )
    return terms


async def avoids(acme: TenantCluster, *names: str, pod_key: ObjectKey = WEB) -> Object:
    """Wait until the super pod stays away from these nodes."""
    none_of = {"key": HOSTNAME, "operator": "NotIn", "values": list(names)}
    expected = [{"matchExpressions": [none_of]}] if names else []

    def avoiding() -> Object | None:
        pod = acme.mirror(PODS, pod_key)
        return pod if pod and required(pod) == expected else None

    return await eventually(avoiding, f"the super pod avoids {names}")


async def test_a_pod_that_waits_stays_away_from_what_its_tenant_taints_or_cordons(
    acme: TenantCluster,
) -> None:
    uid = acme.server.create(PODS, a_pod())["metadata"]["uid"]
    await avoids(acme)
    set_spec(acme, "slow", unschedulable=True)
    await avoids(acme, "slow")
    set_spec(acme, "fast", taints=[a_taint()])
    await avoids(acme, "fast", "slow")
    acme.server.create(PODS, a_pod("later", tolerations=[{"key": "mine", "operator": "Exists"}]))
    await avoids(acme, "slow", pod_key=ObjectKey("default", "later"))
    set_spec(acme, "slow", unschedulable=None)
    await avoids(acme, "fast")
    set_spec(acme, "fast", taints=None)
    mirror = await avoids(acme)
    assert api.VIRTUAL_NODES_ANNOTATION not in mirror["metadata"]["annotations"]
    assert acme.server.live(PODS, WEB)["metadata"]["uid"] == uid


async def test_a_pod_that_runs_and_one_that_names_its_node_are_left_alone(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB, "fast")
    acme.server.create(PODS, a_pod("named", nodeName="fast"))
    named = ObjectKey("default", "named")
    before = [(await acme.goes_down(PODS, key))["metadata"]["uid"] for key in (WEB, named)]
    set_spec(acme, "fast", taints=[a_taint()], unschedulable=True)
    acme.server.create(PODS, a_pod("later"))
    await avoids(acme, "fast", pod_key=ObjectKey("default", "later"))
    await world.nothing_to_do()
    mirrors = [acme.mirror(PODS, key) for key in (WEB, named)]
    assert [mirror["metadata"]["uid"] for mirror in mirrors if mirror] == before
    by_field = {"key": "metadata.name", "operator": "In", "values": ["fast"]}
    assert required(mirrors[1]) == [{"matchFields": [by_field]}]


async def test_the_providers_taints_stay_whatever_the_tenant_does_and_go_with_the_provider(
    world: World, acme: TenantCluster
) -> None:
    theirs = a_taint("theirs", "NoExecute")
    fast = ObjectKey("", "fast")

    async def shows(*taints: Object) -> None:
        await eventually(
            lambda: (
                (acme.server.live(NODES, fast).get("spec") or {}).get("taints", []) == list(taints)
            ),
            f"the copy has {taints}",
        )

    world.super.patch(NODES, fast, {"spec": {"taints": [theirs]}})
    await shows(theirs)
    set_spec(acme, "fast", taints=[a_taint()])
    await shows(a_taint(), theirs)
    world.super.patch(NODES, fast, {"spec": {"taints": None}})
    await shows(a_taint())
    version = acme.server.live(NODES, fast)["metadata"]["resourceVersion"]
    set_spec(acme, "slow", unschedulable=True)
    acme.server.create(PODS, a_pod())
    await avoids(acme, "fast", "slow")
    await world.nothing_to_do()
    assert acme.server.live(NODES, fast)["metadata"]["resourceVersion"] == version, "no fight"
    assert "taints" not in world.super.live(NODES, fast)["spec"], "nothing goes down"


async def test_a_taint_that_is_given_while_no_syncer_runs_counts_when_one_starts(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await avoids(acme)
    await world.kill_syncer()
    set_spec(acme, "slow", taints=[a_taint()])
    await world.start_syncer()
    first = await avoids(acme, "slow")
    await world.kill_syncer()
    await world.start_syncer()
    await world.nothing_to_do()
    assert acme.mirror(PODS, WEB)["metadata"]["uid"] == first["metadata"]["uid"]  # type: ignore[index]


async def test_what_a_tenant_says_of_its_nodes_moves_no_pod_of_another(
    world: World, acme: TenantCluster
) -> None:
    globex = await world.add_tenant("globex")
    await world.in_step(globex)
    globex.server.create(PODS, a_pod())
    before = await avoids(globex)
    set_spec(acme, "fast", taints=[a_taint()])
    acme.server.create(PODS, a_pod())
    await avoids(acme, "fast")
    await world.nothing_to_do()
    assert globex.mirror(PODS, WEB) == before
    assert "taints" not in world.super.live(NODES, ObjectKey("", "fast")).get("spec", {})


async def test_a_node_that_is_shown_while_it_is_used_keeps_its_cordon_without_pods(
    world: World,
) -> None:
    sparse = await world.add_tenant("sparse", {"nodes": {"mode": "used"}})
    await world.start_syncer()
    sparse.server.create(PODS, a_pod())
    await sparse.runs(WEB)
    node = ObjectKey("", "node-1")
    sparse.server.patch(NODES, node, {"spec": {"unschedulable": True}})
    await world.nothing_to_do()
    sparse.server.delete(PODS, WEB, grace=0)
    await eventually(
        lambda: "deletionTimestamp" in (sparse.mirror(PODS, WEB) or {})["metadata"],
        "the syncer knows that its last pod is gone",
    )
    await world.nothing_to_do()
    assert sparse.server.live(NODES, node)["spec"]["unschedulable"]
    sparse.server.patch(NODES, node, {"spec": {"unschedulable": None}})
    await eventually(lambda: not sparse.server.get(NODES, node), "it goes when it is free")


async def test_a_gang_that_waits_is_sent_anew_as_a_whole(world: World, acme: TenantCluster) -> None:
    marks = {api.GANG_ANNOTATION: "train", api.GANG_SIZE_ANNOTATION: "2"}
    gpu = {"name": "main", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    keys = [ObjectKey("default", name) for name in ("train-0", "train-1")]
    for name in ("fast", "slow"):
        status = {"allocatable": {"nvidia.com/gpu": "2", "pods": "110"}}
        world.super.patch(NODES, ObjectKey("", name), {"status": status}, "status")
    for key in keys:
        acme.server.create(
            PODS, with_metadata(a_pod(key.name, containers=[gpu]), annotations=marks)
        )
    for key in keys:
        await avoids(acme, pod_key=key)
    set_spec(acme, "slow", unschedulable=True)
    for key in keys:
        await avoids(acme, "slow", pod_key=key)
    set_spec(acme, "slow", unschedulable=None)
    for key in keys:
        await avoids(acme, pod_key=key)
        await acme.runs(key, "slow")


async def test_where_the_agents_are_follows_the_provider(acme: TenantCluster, world: World) -> None:
    def port(name: str) -> int:
        endpoints = acme.server.live(NODES, ObjectKey("", name))["status"]["daemonEndpoints"]
        return int(endpoints["kubeletEndpoint"]["Port"])

    annotation = {api.NODE_AGENT_ANNOTATION: "127.0.0.1:15000"}
    world.super.patch(NODES, ObjectKey("", "slow"), {"metadata": {"annotations": annotation}})
    await eventually(lambda: port("slow") == 15000, "the node's own word is followed")
    assert port("fast") == api.NODE_AGENT_PORT
    await world.stop_syncer("syncer")
    await world.start_syncer(node_agent_port=api.KUBELET_PORT)
    await eventually(lambda: port("fast") == api.KUBELET_PORT, "the virtual node follows")
    assert port("slow") == 15000
