"""Several syncers share tenants that have kinds mirrored by option."""

from functools import partial
from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import CUSTOM_RESOURCE_DEFINITIONS, INGRESS_CLASSES, INGRESSES, Resource
from syncer import buckets
from tests.fakes.waiting import eventually
from tests.unit.syncer.test_custom_resources import (
    FLAVORS,
    ONE,
    OPTIONS,
    WIDGETS,
    a_definition,
    a_flavor_is_up,
    a_widget,
    unserved,
)
from tests.unit.syncer.test_ingresses import SHOP, an_ingress
from tests.unit.syncer.test_members import holder, serve, shared, spread
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

TWO = ObjectKey("default", "two")


@pytest.fixture
async def tenants(world: World) -> list[TenantCluster]:
    """Six tenants, in different buckets, with options."""
    metadata = {"name": "public", "labels": {api.PUBLIC_LABEL: "true"}}
    world.super.create(INGRESS_CLASSES, {"metadata": metadata, "spec": {"controller": "x/y"}})
    for resource in (WIDGETS, FLAVORS):
        world.super.create(CUSTOM_RESOURCE_DEFINITIONS, a_definition(resource))
    options: dict[str, Any] = OPTIONS | {"ingresses": True}
    return await spread(world, **options)


async def go_down(tenants: list[TenantCluster], resource: Resource, obj: Object) -> None:
    """Create an object in each tenant, and wait for the mirrors."""
    key = ObjectKey(obj["metadata"]["namespace"], obj["metadata"]["name"])
    for cluster in tenants:
        cluster.server.create(resource, obj)
    for cluster in tenants:
        await eventually(partial(cluster.mirror, resource, key), f"{key} is down")


async def test_objects_of_optional_kinds_move_with_their_tenants(
    world: World, tenants: list[TenantCluster]
) -> None:
    world.start_member("a")
    await go_down(tenants, WIDGETS, a_widget())
    world.start_member("b")
    await shared(world, "a", "b")
    assert {holder(world, cluster) for cluster in tenants} == {"a", "b"}
    two = a_widget() | {"metadata": {"name": TWO.name, "namespace": TWO.namespace}}
    await go_down(tenants, WIDGETS, two)
    selected = [
        c.query.get("labelSelector") or "" for c in world.super.script.calls("WATCH", "widgets")
    ]
    assert {s for s in selected if "bucket in" in s}
    await world.stop_syncer("a")
    await shared(world, "b")
    for cluster in tenants:
        cluster.server.patch(WIDGETS, ONE, {"spec": {"size": 2}})
        cluster.server.delete(WIDGETS, TWO)
    for cluster in tenants:
        await eventually(partial(_is_of_size, cluster, 2), "the change is down")
        await cluster.gone_everywhere(WIDGETS, TWO)
    await a_flavor_is_up(world, tenants[0])
    assert len(world.super.script.calls("DELETE", "widgets")) == len(tenants)


async def test_a_type_that_is_missing_keeps_no_tenant_from_moving(
    world: World, tenants: list[TenantCluster]
) -> None:
    unserved(world.super, "widgets")
    world.start_member("a")
    await shared(world, "a")
    await serve(tenants, "one")
    world.start_member("b")
    await shared(world, "a", "b")
    await serve(tenants, "two")


async def test_a_host_has_one_owner_among_the_tenants_of_all_members(
    world: World, tenants: list[TenantCluster]
) -> None:
    for name in ("a", "b"):
        world.start_member(name)
    await shared(world, "a", "b")
    first, second = (
        next(c for c in tenants if holder(world, c) == member) for member in ("a", "b")
    )
    first.server.create(INGRESSES, an_ingress())
    await first.goes_down(INGRESSES, SHOP)
    second.server.create(INGRESSES, an_ingress())
    await second.told("HostTaken")
    await world.stop_syncer("a")
    await shared(world, "b")
    world.start_member("a")
    await shared(world, "a", "b")
    assert not world.super.script.calls("DELETE", "ingresses")
    first.server.delete(INGRESSES, SHOP)
    await second.goes_down(INGRESSES, SHOP)


async def test_a_host_is_free_when_its_owner_is_gone_whoever_held_its_bucket_before(
    world: World, tenants: list[TenantCluster]
) -> None:
    world.start_member("a")
    await shared(world, "a")
    first, second = (
        next(c for c in tenants if int(c.tenant.bucket) in buckets.share(member, ["a", "b"]))
        for member in ("b", "a")
    )
    first.server.create(INGRESSES, an_ingress())
    await first.goes_down(INGRESSES, SHOP)
    world.start_member("b")
    await shared(world, "a", "b")
    second.server.create(INGRESSES, an_ingress())
    await second.told("HostTaken")
    first.server.freeze()  # so that the other member makes it not anew
    world.super.lose(INGRESSES, first.mirror_key(SHOP))
    await world.super.stop()
    world.super.compact()
    await world.super.start()
    await second.goes_down(INGRESSES, SHOP)


def _is_of_size(cluster: TenantCluster, size: int) -> bool:
    mirror = cluster.mirror(WIDGETS, ONE)
    return mirror is not None and bool(mirror["spec"]["size"] == size)
