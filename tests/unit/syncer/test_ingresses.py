"""Ingresses between tenants: one owner of a host, certificates on demand, the option."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import INGRESS_CLASSES, INGRESSES, SECRETS
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

SHOP = ObjectKey("default", "shop")
CERTIFICATE = ObjectKey("default", "shop-tls")
HOST = "shop.example.com"


def an_ingress(host: str = HOST, **spec: Any) -> Object:
    return {
        "metadata": {"name": SHOP.name, "namespace": SHOP.namespace},
        "spec": {"ingressClassName": "public", "rules": [{"host": host}], **spec},
    }


@pytest.fixture
async def world_of_ingresses(world: World) -> World:
    metadata = {"name": "public", "labels": {api.PUBLIC_LABEL: "true"}}
    world.super.create(INGRESS_CLASSES, {"metadata": metadata, "spec": {"controller": "x/y"}})
    await world.start_syncer()
    return world


async def a_tenant(world: World, name: str) -> TenantCluster:
    tenant = await world.add_tenant(name, ingresses=True)
    await world.in_step(tenant)
    return tenant


async def test_an_ingress_its_certificate_and_its_address(world_of_ingresses: World) -> None:
    world = world_of_ingresses
    acme = await a_tenant(world, "acme")
    tls = [{"hosts": [HOST], "secretName": CERTIFICATE.name}]
    acme.server.create(INGRESSES, an_ingress(tls=tls))
    await acme.goes_down(INGRESSES, SHOP)
    secret = {"metadata": {"name": CERTIFICATE.name, "namespace": "default"}, "data": {}}
    acme.server.create(SECRETS, secret)
    await acme.goes_down(SECRETS, CERTIFICATE)
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}
    world.super.patch(INGRESSES, acme.mirror_key(SHOP), {"status": status}, "status")
    await eventually(
        lambda: acme.server.live(INGRESSES, SHOP).get("status") == status, "the address is up"
    )
    acme.server.delete(INGRESSES, SHOP)
    await acme.gone_everywhere(INGRESSES, SHOP)
    await eventually(lambda: not acme.mirror(SECRETS, CERTIFICATE), "nobody uses the secret")


async def test_a_certificate_in_use_outlives_a_restart(world_of_ingresses: World) -> None:
    world = world_of_ingresses
    acme = await a_tenant(world, "acme")
    tls = [{"hosts": [HOST], "secretName": CERTIFICATE.name}]
    secret = {"metadata": {"name": CERTIFICATE.name, "namespace": "default"}, "data": {}}
    acme.server.create(SECRETS, secret)
    acme.server.create(INGRESSES, an_ingress(tls=tls))
    before = await acme.goes_down(SECRETS, CERTIFICATE)
    await world.kill_syncer()
    await world.start_syncer()
    acme.server.create(
        INGRESSES, an_ingress("b.example.com") | {"metadata": {"name": "b", "namespace": "default"}}
    )
    await acme.goes_down(INGRESSES, ObjectKey("default", "b"))
    assert (acme.mirror(SECRETS, CERTIFICATE) or {})["metadata"]["uid"] == before["metadata"]["uid"]


async def test_the_later_one_is_told_and_takes_over_when_the_first_is_gone(
    world_of_ingresses: World,
) -> None:
    world = world_of_ingresses
    first, second = await a_tenant(world, "first"), await a_tenant(world, "second")
    first.server.create(INGRESSES, an_ingress())
    await first.goes_down(INGRESSES, SHOP)
    second.server.create(INGRESSES, an_ingress("*.example.com"))
    event = await second.told("HostTaken")
    assert "'*.example.com' is in use already" in event["message"]
    assert first.tenant.name not in event["message"]
    assert not second.mirror(INGRESSES, SHOP)
    first.server.delete(INGRESSES, SHOP)
    await second.goes_down(INGRESSES, SHOP)


async def test_a_host_stays_its_owners_over_a_restart_and_without_its_session(
    world_of_ingresses: World,
) -> None:
    world = world_of_ingresses
    first, second = await a_tenant(world, "first"), await a_tenant(world, "second")
    first.server.create(INGRESSES, an_ingress())
    await first.goes_down(INGRESSES, SHOP)
    await world.kill_syncer()
    first.server.freeze()
    second.server.create(INGRESSES, an_ingress())
    await world.start_syncer_without_waiting()
    await second.told("HostTaken")
    assert not second.mirror(INGRESSES, SHOP)


async def test_of_two_that_came_down_at_once_the_later_one_goes(world_of_ingresses: World) -> None:
    world = world_of_ingresses
    first, second = await a_tenant(world, "first"), await a_tenant(world, "second")
    first.server.create(INGRESSES, an_ingress("a.example.com"))
    second.server.create(INGRESSES, an_ingress("b.example.com"))
    mirrors = [await tenant.goes_down(INGRESSES, SHOP) for tenant in (first, second)]
    ages = [
        (mirror["metadata"]["creationTimestamp"], mirror["metadata"]["uid"]) for mirror in mirrors
    ]
    loser = second if ages[0] < ages[1] else first
    # As another syncer could have written it at the same moment; ours, which may see the tenants' change
    # later than that, cannot undo it.
    world.super.script.add_for_good("PATCH", "/ingresses/", Answer(409, "Conflict"))
    for tenant in (first, second):
        rules = {"spec": {"rules": [{"host": HOST}]}}
        world.super.patch(INGRESSES, tenant.mirror_key(SHOP), rules)
        tenant.server.patch(INGRESSES, SHOP, rules)
    await loser.told("HostTaken")
    await eventually(lambda: not loser.mirror(INGRESSES, SHOP), "the later one is gone")


async def test_the_providers_own_host_is_taken(world_of_ingresses: World) -> None:
    world = world_of_ingresses
    own = {
        "metadata": {"name": "console", "namespace": "tenants"},
        "spec": {"rules": [{"host": HOST}]},
    }
    world.super.create(INGRESSES, own)
    acme = await a_tenant(world, "acme")
    acme.server.create(INGRESSES, an_ingress())
    await acme.told("HostTaken")


async def test_a_change_to_a_class_that_is_not_offered_is_refused(
    world_of_ingresses: World,
) -> None:
    acme = await a_tenant(world_of_ingresses, "acme")
    acme.server.create(INGRESSES, an_ingress())
    await acme.goes_down(INGRESSES, SHOP)
    acme.server.patch(INGRESSES, SHOP, {"spec": {"ingressClassName": "internal"}})
    event = await acme.told("NotOffered")
    assert "'internal' is not offered here; offered: public" in event["message"]
    await eventually(lambda: not acme.mirror(INGRESSES, SHOP), "nothing serves it any more")


async def test_without_the_option_nothing_goes_down_and_what_is_there_goes(
    world_of_ingresses: World,
) -> None:
    world = world_of_ingresses
    acme = await a_tenant(world, "acme")
    acme.server.create(INGRESSES, an_ingress())
    await acme.goes_down(INGRESSES, SHOP)
    world.set_options(acme, ingresses=False)
    await eventually(lambda: not acme.mirror(INGRESSES, SHOP), "the mirror is withdrawn")
    assert acme.server.get(INGRESSES, SHOP)
