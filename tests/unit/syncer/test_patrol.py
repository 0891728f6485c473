"""The patrol finds what no event has told of, in both directions."""

import pytest

from kube.objects import ObjectKey
from kube.resources import NAMESPACES, PODS, SERVICES
from tests.builders import a_namespace, a_pod, a_service
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")


@pytest.fixture
async def patrolled(world: World) -> TenantCluster:
    """A tenant with a service and a running pod, patrolled all the time."""
    cluster = await world.add_tenant("acme")
    await world.start_syncer(patrol_seconds=0.1)
    cluster.server.create(SERVICES, a_service(clusterIP="10.101.5.20"))
    cluster.server.create(PODS, a_pod())
    await cluster.goes_down(SERVICES, WEB)
    await cluster.runs(WEB)
    return cluster


async def test_a_mirror_that_vanished_unseen_is_made_again(
    world: World, patrolled: TenantCluster
) -> None:
    world.super.lose(SERVICES, patrolled.mirror_key(WEB))
    await patrolled.goes_down(SERVICES, WEB)


async def test_a_mirror_whose_source_vanished_unseen_is_removed(
    patrolled: TenantCluster,
) -> None:
    patrolled.server.lose(SERVICES, WEB)
    await eventually(lambda: not patrolled.mirror(SERVICES, WEB), "the mirror is removed")
    assert patrolled.mirror(PODS, WEB), "and nothing else is"


async def test_a_super_pod_that_vanished_unseen_fails_its_tenants_pod(
    world: World, patrolled: TenantCluster
) -> None:
    world.super.lose(PODS, patrolled.mirror_key(WEB))
    await patrolled.gone_everywhere(PODS, WEB)


async def test_a_tenants_pod_that_vanished_unseen_ends_below(
    world: World, patrolled: TenantCluster
) -> None:
    patrolled.server.lose(PODS, WEB)
    await eventually(
        lambda: (
            "deletionTimestamp" in world.super.live(PODS, patrolled.mirror_key(WEB))["metadata"]
        ),
        "the super pod ends",
    )


async def test_a_status_that_changed_unseen_goes_up(world: World, patrolled: TenantCluster) -> None:
    ended = {"status": {"phase": "Succeeded", "message": "done"}}
    world.super.change_quietly(PODS, patrolled.mirror_key(WEB), ended)
    pod = await patrolled.shows(WEB, "Succeeded")
    assert pod["status"]["message"] == "done"


async def test_a_tenants_status_that_somebody_overwrote_is_set_right(
    patrolled: TenantCluster,
) -> None:
    patrolled.server.patch(PODS, WEB, {"status": {"podIP": "10.0.0.66"}}, "status")
    await eventually(
        lambda: patrolled.server.live(PODS, WEB)["status"].get("podIP") == "10.244.0.7",
        "the true address is back",
    )


async def test_a_new_object_whose_event_was_lost_goes_down(
    world: World, patrolled: TenantCluster
) -> None:
    namespace = patrolled.server.create(NAMESPACES, a_namespace("shop"))
    key = ObjectKey("", api.super_namespace(patrolled.tenant.key, "shop"))
    await eventually(lambda: world.super.get(NAMESPACES, key), "the namespace is down")
    world.super.lose(NAMESPACES, key)
    again = await eventually(lambda: world.super.get(NAMESPACES, key), "it is down again")
    assert again["metadata"]["annotations"][api.UID_ANNOTATION] == namespace["metadata"]["uid"]


async def test_a_patrol_of_what_is_in_step_writes_nothing(
    world: World, patrolled: TenantCluster
) -> None:
    def lists() -> int:
        return len(patrolled.server.script.calls("LIST", "pods"))

    def writes() -> list[str]:
        calls = world.super.script.calls() + patrolled.server.script.calls()
        verbs = ("POST", "PUT", "PATCH", "DELETE")
        return [
            f"{call.verb} {call.path}"
            for call in calls
            # Not the condition, nor what a member renews by the clock.
            if call.verb in verbs and call.plural not in ("virtualclusters", "leases")
        ]

    await world.nothing_to_do()
    before, seen = lists(), writes()
    await eventually(lambda: lists() >= before + 3, "there were two whole patrols")
    assert writes() == seen


async def test_a_type_that_is_missing_holds_no_patrol_up(world: World) -> None:
    offered = {"group": "example.com", "version": "v1", "plural": "widgets", "kind": "Widget"}
    acme = await world.add_tenant("acme", customResources=[offered])
    for server in (world.super, acme.server):
        server.script.add_for_good("*", "/widgets", Answer(404, "NotFound"))
    await world.start_syncer(patrol_seconds=0.1)
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    world.super.lose(PODS, acme.mirror_key(WEB))
    await acme.gone_everywhere(PODS, WEB)
