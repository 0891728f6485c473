"""Tenants come and go while the syncer runs."""

import asyncio
from itertools import count

from kube.objects import ObjectKey
from kube.resources import NAMESPACES, NODES, PODS, SECRETS
from syncer import metrics
from syncer.runtime.informer import LONGEST_DELAY
from syncer.tenants import VIRTUAL_CLUSTERS
from tests.builders import a_pod
from tests.fakes.faults import Answer, Hang
from tests.fakes.waiting import eventually, grows_by
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")


def syncing(world: World, cluster: TenantCluster) -> str:
    """The condition Syncing, as status and reason."""
    key = ObjectKey(cluster.tenant.namespace, cluster.tenant.name)
    conditions = world.super.live(VIRTUAL_CLUSTERS, key)["status"].get("conditions", [])
    return next((f"{c['status']} {c['reason']}" for c in conditions if c["type"] == "Syncing"), "")


async def test_a_tenant_that_comes_is_mirrored_without_a_restart(
    world: World, acme: TenantCluster
) -> None:
    late = await world.add_tenant("late")
    await world.in_step(late)
    late.server.create(PODS, a_pod())
    await late.runs(WEB)
    assert not acme.server.objects(PODS)


async def test_a_tenant_that_goes_is_left_alone_from_then_on(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    other = await world.add_tenant("other")
    await world.in_step(other)
    world.super.delete(VIRTUAL_CLUSTERS, ObjectKey("tenants", "acme"))
    await eventually(lambda: not acme.server.open_watches, "its watches are closed")
    acme.server.create(PODS, a_pod("late"))
    other.server.create(PODS, a_pod())
    await other.runs(WEB)
    assert acme.mirror(PODS, WEB), "what it had is the operator's to remove"
    assert not acme.mirror(PODS, ObjectKey("default", "late"))
    labels = {"tenant": acme.tenant.key}
    assert metrics.REGISTRY.get_sample_value("syncer_tenant_synced", labels) is None


async def test_new_credentials_of_a_tenant_are_taken_up(world: World, acme: TenantCluster) -> None:
    key = ObjectKey(acme.tenant.key, api.SYNCER_KUBECONFIG_SECRET)
    world.super.patch(SECRETS, key, {"metadata": {"annotations": {"renewed": "yes"}}})
    await eventually(
        lambda: len(acme.server.script.calls("LIST", "pods")) >= 3, "a new session has begun"
    )
    await world.in_step(acme)
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)


async def test_the_condition_syncing_says_what_is(world: World, acme: TenantCluster) -> None:
    await eventually(lambda: syncing(world, acme) == "True InStep", "it says that all is well")
    acme.server.freeze()
    acme.server.create(PODS, a_pod())
    world.super.create(NODES, {"metadata": {"name": "node-2"}})
    world.super.create(NODES, {"metadata": {"name": "node-3"}})
    world.super.create(NODES, {"metadata": {"name": "node-4"}})
    await eventually(lambda: syncing(world, acme) == "False NotAnswering", "it says what is wrong")
    acme.server.thaw()
    await eventually(lambda: syncing(world, acme) == "True InStep", "it is well again")
    await acme.runs(WEB)


async def test_a_tenant_whose_first_list_hangs_holds_up_no_other(world: World) -> None:
    slow, fine = await world.add_tenant("slow"), await world.add_tenant("fine")
    fault = slow.server.script.add_for_good("LIST", "secrets", Hang())
    await world.start_syncer_without_waiting()
    await world.in_step(fine)
    slow.server.create(PODS, a_pod())
    fine.server.create(PODS, a_pod())
    await fine.runs(WEB)
    assert not slow.mirror(PODS, WEB), "nothing is decided before both sides are known"
    fault.remove()
    await slow.runs(WEB)


async def test_a_mode_of_used_nodes_shows_a_node_with_its_first_pod(world: World) -> None:
    acme = await world.add_tenant("acme", spec={"nodes": {"mode": "used"}})
    await world.start_syncer()
    acme.server.create(PODS, a_pod())
    await acme.goes_down(PODS, WEB)
    assert not acme.server.objects(NODES)
    await acme.runs(WEB)
    assert [node["metadata"]["name"] for node in acme.server.objects(NODES)] == ["node-1"]
    acme.server.delete(PODS, WEB, grace=0)
    await eventually(lambda: not acme.server.objects(NODES), "nobody uses the node any longer")


async def test_a_namespace_appears_before_its_first_pod_and_no_pod_is_refused_for_it(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(NAMESPACES, {"metadata": {"name": "shop"}})
    acme.server.create(PODS, a_pod(namespace="shop"))
    await acme.goes_down(PODS, ObjectKey("shop", "web"))
    assert len(world.super.script.calls("POST", "pods", "")) == 1


async def test_a_tenant_that_has_become_ready_is_asked_at_once(world: World) -> None:
    late = await world.add_tenant("late")
    refusal = late.server.script.add_for_good("LIST", "secrets", Answer(403, "Forbidden"))
    await world.start_syncer_without_waiting()
    many, times = 30, count()

    def becomes_ready() -> None:
        since = {"type": "Ready", "status": "True", "lastTransitionTime": str(next(times))}
        world.super.patch(
            VIRTUAL_CLUSTERS,
            ObjectKey("tenants", "late"),
            {"status": {"conditions": [since]}},
            "status",
        )

    def lists() -> int:
        return len(late.server.script.calls("LIST", "secrets"))

    async with asyncio.timeout(many * LONGEST_DELAY / 5):  # else half of many times that
        for _ in range(many):
            await grows_by(becomes_ready, lists, "its objects are asked for")
    refusal.remove()
    await world.in_step(late)
