"""A tenant's own labels on its virtual nodes: its pods go to the nodes that have them."""

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import NODES, PODS
from syncer.kinds.node_labels import HOSTNAME
from tests.builders import a_node, a_pod
from tests.fakes.faults import Slow
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World

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
