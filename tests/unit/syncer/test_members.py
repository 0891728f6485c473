"""Several syncers share the tenants; tenants move when members come, go or fall silent."""

import asyncio
from functools import partial
from typing import Any

import pytest

from kube.objects import ObjectKey
from kube.resources import CONFIG_MAPS, LEASES, NAMESPACES, PODS
from syncer import buckets, metrics
from syncer.membership.claims import NAME
from syncer.membership.lease import Displaced
from syncer.settings import Settings
from syncer.tenants import VIRTUAL_CLUSTERS
from tests.builders import a_pod
from tests.fakes.faults import Hang
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import Syncer, TenantCluster, World
from vcluster import api

NAMESPACE = Settings().namespace
WEB = ObjectKey("default", "web")
QUICK = {"lease_seconds": 4, "request_timeout": 1.0}
"""Leases that expire soon; the default is meant for real machines."""


@pytest.fixture
async def tenants(world: World) -> list[TenantCluster]:
    """Six tenants, in different buckets."""
    return await spread(world)


async def spread(world: World, **options: Any) -> list[TenantCluster]:
    """Six tenants or more: until both a and b, were they the members, have some."""
    tenants: list[TenantCluster] = []
    while len(tenants) < 6 or len({_of_two(cluster) for cluster in tenants}) < 2:
        tenants.append(await world.add_tenant(f"team-{len(tenants)}", **options))
    return tenants


def _of_two(cluster: TenantCluster) -> bool:
    return int(cluster.tenant.bucket) in buckets.share("a", ["a", "b"])


def holders(world: World) -> dict[str, frozenset[int]]:
    """Who holds which buckets, by the record."""
    record = world.super.get(CONFIG_MAPS, ObjectKey(NAMESPACE, NAME))
    written = {} if record is None else record["data"]
    return {
        member: buckets.parse(claim.partition('"buckets":"')[2].rstrip('"}'))
        for member, claim in written.items()
    }


def holder(world: World, cluster: TenantCluster) -> str:
    """Who holds the tenant's bucket."""
    found = [m for m, held in holders(world).items() if int(cluster.tenant.bucket) in held]
    assert len(found) <= 1, "never two"
    return found[0] if found else ""


async def shared(world: World, *members: str) -> None:
    """Wait until just these members hold all the buckets, each its share, and are ready."""
    wanted = {member: buckets.share(member, members) for member in members}
    await eventually(lambda: holders(world) == wanted, f"{members} share", every=0.02)
    await eventually(
        lambda: not any(world.syncers[member].app.problems() for member in members), "all are ready"
    )


async def serve(tenants: list[TenantCluster], name: str) -> None:
    """Wait until a new pod of each tenant runs."""
    key = ObjectKey("default", name)
    for cluster in tenants:
        cluster.server.create(PODS, a_pod(name))
    for cluster in tenants:
        await eventually(partial(cluster.mirror, PODS, key), f"{name} is down")
        cluster.start_pod(key)
    for cluster in tenants:
        await cluster.shows(key, "Running")


async def test_tenants_move_as_members_come_and_leave_and_nothing_is_done_twice(
    world: World, tenants: list[TenantCluster]
) -> None:
    world.start_member("a")
    await shared(world, "a")
    await serve(tenants, "one")
    world.start_member("b")
    world.start_member("c")
    await serve(tenants, "while-they-come")
    await shared(world, "a", "b", "c")
    assert len({holder(world, cluster) for cluster in tenants}) > 1
    await serve(tenants, "three")
    await world.stop_syncer("a")
    await serve(tenants, "while-it-leaves")
    await shared(world, "b", "c")
    await world.stop_syncer("c")
    await serve(tenants, "one-again")
    await shared(world, "b")
    assert not world.super.script.calls("DELETE", "pods")
    assert len(world.super.script.calls("POST", "pods", "")) == len(world.super.objects(PODS))
    assert not [call for c in tenants for call in c.server.script.calls("DELETE", "pods")]
    bound = [
        call.path for c in tenants for call in c.server.script.calls("POST", "pods", "binding")
    ]
    assert len(bound) == 5 * len(tenants)


async def test_a_member_that_is_lost_is_taken_over(
    world: World, tenants: list[TenantCluster]
) -> None:
    for name in ("a", "b"):
        world.start_member(name, **QUICK)
    await shared(world, "a", "b")
    await world.kill_syncer("a")
    await serve(tenants, "after")
    await shared(world, "b")
    assert not world.super.get(LEASES, ObjectKey(NAMESPACE, "a")), "its Lease is cleared away"


async def test_a_restart_under_the_same_name_waits_for_nothing(
    world: World, tenants: list[TenantCluster]
) -> None:
    for name in ("a", "b"):
        world.start_member(name)
    await shared(world, "a", "b")
    before = holders(world)
    await world.kill_syncer("a")
    world.start_member("a")
    await serve(tenants, "after")
    assert holders(world) == before


async def test_who_cannot_renew_its_lease_writes_nothing_and_goes_on_where_it_was(
    world: World, tenants: list[TenantCluster]
) -> None:
    syncer = world.start_member("a", **QUICK)
    await shared(world, "a")
    await serve(tenants, "before")
    lists = [len(cluster.server.script.calls("LIST", "pods")) for cluster in tenants]
    fault = world.super.script.add_for_good("PUT", "/leases/", Hang())
    await eventually(syncer.app.problems, "the Lease is not renewed")
    assert "Lease" in syncer.app.problems()[0]
    writes = len(world.super.script.calls("POST"))
    tenants[0].server.create(PODS, a_pod())
    world.super.patch(PODS, tenants[1].mirror_key(ObjectKey("default", "before")), ENDED, "status")
    await eventually(lambda: _seen(syncer, tenants), "the syncer has seen both")
    assert len(world.super.script.calls("POST")) == writes
    assert (
        tenants[1].server.live(PODS, ObjectKey("default", "before"))["status"]["phase"] == "Running"
    )
    fault.remove()
    await tenants[0].runs(WEB)
    await tenants[1].shows(ObjectKey("default", "before"), "Succeeded")
    assert [len(c.server.script.calls("LIST", "pods")) for c in tenants] == lists


ENDED = {"status": {"phase": "Succeeded"}}


def _seen(syncer: Syncer, tenants: list[TenantCluster]) -> bool:
    waiting = [syncer.app.depths(cluster.tenant.key) for cluster in tenants[:2]]
    return waiting[0][0] > 0 and waiting[1][1] > 0


async def test_who_was_taken_for_dead_gives_up_what_others_took(
    world: World, tenants: list[TenantCluster]
) -> None:
    for name in ("a", "b"):
        world.start_member(name, **QUICK)
    await shared(world, "a", "b")
    fault = world.super.script.add_for_good("PUT", "/leases/a$", Hang())
    await eventually(lambda: set(holders(world)) == {"b"}, "b has all", every=0.02)
    await serve(tenants, "meanwhile")
    fault.remove()
    await serve(tenants, "after")
    await shared(world, "a", "b")
    assert len(world.super.script.calls("POST", "pods", "")) == len(world.super.objects(PODS))


async def test_two_processes_of_one_name_do_not_both_go_on(world: World) -> None:
    first = world.start_member("a", **QUICK)
    await shared(world, "a")
    del world.syncers["a"]
    world.start_member("a", **QUICK)
    with pytest.raises(ExceptionGroup) as ended:
        async with asyncio.timeout(60):
            await first.running
    assert ended.value.subgroup(Displaced)
    await shared(world, "a")


async def test_a_record_that_somebody_has_spoilt_is_made_anew(
    world: World, tenants: list[TenantCluster]
) -> None:
    world.start_member("a")
    await shared(world, "a")
    world.super.patch(
        CONFIG_MAPS, ObjectKey(NAMESPACE, NAME), {"data": {"a": "x", "zombie": "0-63"}}
    )
    await eventually(lambda: len(holders(world)["a"]) == api.BUCKETS, "it is right again")
    await serve(tenants, "after")
    world.super.delete(CONFIG_MAPS, ObjectKey(NAMESPACE, NAME))
    await shared(world, "a")
    await serve(tenants, "later")


async def test_a_member_does_not_see_the_others_objects(
    world: World, tenants: list[TenantCluster]
) -> None:
    for name in ("a", "b"):
        world.start_member(name)
    await shared(world, "a", "b")
    await serve(tenants, "one")
    for name in ("a", "b"):
        await eventually(partial(_knows_its_own, world, tenants, name), f"{name} knows its pods")
    selectors = {
        call.query.get("labelSelector") for call in world.super.script.calls("WATCH", "pods")
    }
    assert {s for s in selectors if s and "bucket in" in s}


async def test_the_condition_and_the_metrics_are_true_after_a_move(
    world: World, tenants: list[TenantCluster]
) -> None:
    world.start_member("a")
    await shared(world, "a")
    world.start_member("b")
    await shared(world, "a", "b")
    await world.stop_syncer("b")
    moved = [c for c in tenants if int(c.tenant.bucket) in buckets.share("b", ["a", "b"])]
    assert moved
    await shared(world, "a")
    for cluster in tenants:
        await eventually(partial(_is_in_step, world, cluster), "it is in step")
        key = {"tenant": cluster.tenant.key}
        assert metrics.REGISTRY.get_sample_value("syncer_tenant_synced", key) == 1
    assert not world.super.script.calls("DELETE", NAMESPACES.plural)


def _is_in_step(world: World, cluster: TenantCluster) -> bool:
    key = ObjectKey(cluster.tenant.namespace, cluster.tenant.name)
    conditions = world.super.live(VIRTUAL_CLUSTERS, key)["status"].get("conditions", [])
    return "InStep" in [c["reason"] for c in conditions if c["type"] == "Syncing"]


def _knows_its_own(world: World, tenants: list[TenantCluster], name: str) -> bool:
    own = [cluster for cluster in tenants if holder(world, cluster) == name]
    return world.syncers[name].app.super_pods == len(own)
