"""Types that come and go in the super cluster, and what tenants have of them."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    SECRETS,
    SERVICES,
    VOLUME_SNAPSHOT_CLASSES,
    VOLUME_SNAPSHOTS,
    Resource,
)
from tests.builders import a_service
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer, Fault, Hang
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")
FLAVORS = Resource("example.com", "v1", "flavors", "Flavor", namespaced=False)
NAME = ObjectKey("", "widgets.example.com")
ONE = ObjectKey("default", "one")
OFFERED = {
    "group": "example.com",
    "version": "v1",
    "plural": "widgets",
    "kind": "Widget",
    "references": [{"path": "spec.secretName", "kind": "Secret"}],
}
SHOWN = {"group": "example.com", "version": "v1", "plural": "flavors", "kind": "Flavor"}
OPTIONS: dict[str, Any] = {"customResources": [OFFERED, SHOWN | {"direction": "up"}]}


def a_definition(resource: Resource) -> Object:
    version = {"name": resource.version, "served": True, "storage": True, "schema": {}}
    return {
        "metadata": {"name": f"{resource.plural.partition('.')[0]}.{resource.group}"},
        "spec": {
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def a_widget(**spec: Any) -> Object:
    return {"metadata": {"name": ONE.name, "namespace": ONE.namespace}, "spec": {"size": 1, **spec}}


def unserved(server: FakeApiServer, plural: str) -> Fault:
    """As long as there is no definition."""
    message = "the server could not find the requested resource"
    return server.script.add_for_good("*", f"/{plural}(/|$)", Answer(404, "NotFound", message))


@pytest.fixture
async def world_of_types(world: World) -> World:
    others = Resource("example.com", "v1", "gadgets", "Gadget")
    for resource in (WIDGETS, FLAVORS, others):
        world.super.create(CUSTOM_RESOURCE_DEFINITIONS, a_definition(resource))
    await world.start_syncer()
    return world


async def a_tenant(world: World, name: str = "acme", **options: Any) -> TenantCluster:
    tenant = await world.add_tenant(name, **options)
    await world.in_step(tenant)
    return tenant


async def test_the_type_its_objects_their_status_and_what_they_name(world_of_types: World) -> None:
    world = world_of_types
    acme, other = await a_tenant(world, **OPTIONS), await a_tenant(world, "other")
    await eventually(lambda: acme.server.get(CUSTOM_RESOURCE_DEFINITIONS, NAME), "the type is up")
    assert not other.server.objects(CUSTOM_RESOURCE_DEFINITIONS)
    read = {call.name for call in world.super.script.calls("GET", "customresourcedefinitions")}
    assert read <= {"widgets.example.com", "flavors.example.com"}, "others are not even read"
    acme.server.create(WIDGETS, a_widget(secretName="key"))
    await acme.goes_down(WIDGETS, ONE)
    secret = ObjectKey("default", "key")
    acme.server.create(SECRETS, {"metadata": {"name": "key", "namespace": "default"}, "data": {}})
    await acme.goes_down(SECRETS, secret)
    world.super.patch(WIDGETS, acme.mirror_key(ONE), {"status": {"ready": True}}, "status")
    await eventually(
        lambda: acme.server.live(WIDGETS, ONE).get("status") == {"ready": True}, "the status is up"
    )
    acme.server.patch(WIDGETS, ONE, {"spec": {"size": 2, "secretName": None}})
    await eventually(
        lambda: (acme.mirror(WIDGETS, ONE) or {})["spec"] == {"size": 2}, "the change is down"
    )
    acme.server.delete(WIDGETS, ONE)
    await acme.gone_everywhere(WIDGETS, ONE)
    await a_flavor_is_up(world, acme)


async def a_flavor_is_up(world: World, acme: TenantCluster) -> None:
    metadata = {"name": "large", "labels": {api.PUBLIC_LABEL: "true"}}
    world.super.create(FLAVORS, {"metadata": metadata, "spec": {"cpu": 9}})
    await eventually(lambda: acme.server.objects(FLAVORS), "the public object is up")


async def test_a_type_that_is_missing_holds_nothing_up_and_is_noticed_when_it_comes(
    world: World,
) -> None:
    missing = [unserved(world.super, "widgets")]
    await world.start_syncer()
    acme = await world.add_tenant("acme", **OPTIONS)
    missing.append(unserved(acme.server, "widgets"))
    await world.in_step(acme)
    assert not acme.server.get(CUSTOM_RESOURCE_DEFINITIONS, NAME)
    world.super.create(CUSTOM_RESOURCE_DEFINITIONS, a_definition(WIDGETS))
    await eventually(lambda: acme.server.get(CUSTOM_RESOURCE_DEFINITIONS, NAME), "the type is up")
    for fault in missing:
        fault.remove()
    acme.server.create(WIDGETS, a_widget())
    await eventually(lambda: acme.mirror(WIDGETS, ONE), "it is noticed")


async def test_only_who_asks_for_a_type_waits_until_its_objects_are_known(world: World) -> None:
    acme, other = await world.add_tenant("acme", **OPTIONS), await world.add_tenant("other")
    fault = world.super.script.add_for_good("LIST", "/widgets$", Hang())
    await world.start_syncer_without_waiting()
    await world.in_step(other)
    await eventually(lambda: fault.hits, "the mirrors are asked for")
    assert not acme.server.script.log
    fault.remove()
    await world.in_step(acme)


async def test_a_type_that_leaves_the_super_cluster_leaves_the_tenants_objects(
    world: World,
) -> None:
    world.super.create(CUSTOM_RESOURCE_DEFINITIONS, a_definition(WIDGETS))
    await world.start_syncer()
    acme = await a_tenant(world, **OPTIONS)
    await eventually(lambda: acme.server.get(CUSTOM_RESOURCE_DEFINITIONS, NAME), "the type is up")
    unserved(world.super, "widgets")
    world.super.delete(CUSTOM_RESOURCE_DEFINITIONS, NAME)
    acme.server.create(WIDGETS, a_widget())
    event = await acme.told("NotServed")
    assert "Widget" in event["message"]
    world.super.create(CUSTOM_RESOURCE_DEFINITIONS, a_definition(FLAVORS))
    later = ObjectKey("", "flavors.example.com")
    await eventually(
        lambda: acme.server.get(CUSTOM_RESOURCE_DEFINITIONS, later),
        "what happened after the deletion is up",
    )
    assert acme.server.get(CUSTOM_RESOURCE_DEFINITIONS, NAME), "its deletion would delete them all"


async def test_an_option_that_is_withdrawn_deletes_nothing(world_of_types: World) -> None:
    world = world_of_types
    acme = await a_tenant(world, **OPTIONS)
    await a_tenant(world, "other", **OPTIONS)
    acme.server.create(WIDGETS, a_widget())
    await acme.goes_down(WIDGETS, ONE)
    sessions = len(acme.server.script.calls("LIST", "services"))
    world.set_options(acme, customResources=[])
    await eventually(
        lambda: len(acme.server.script.calls("LIST", "services")) > sessions, "a new session"
    )
    acme.server.create(SERVICES, a_service(clusterIP="10.101.5.20"))
    await acme.goes_down(SERVICES, ObjectKey("default", "web"))
    assert acme.mirror(WIDGETS, ONE)
    assert acme.server.get(CUSTOM_RESOURCE_DEFINITIONS, NAME)
    world.set_options(acme, **OPTIONS)
    acme.server.patch(WIDGETS, ONE, {"spec": {"size": 3}})
    await eventually(
        lambda: (acme.mirror(WIDGETS, ONE) or {})["spec"]["size"] == 3, "it is mirrored again"
    )


async def test_a_type_of_the_tenants_own_is_not_touched(world_of_types: World) -> None:
    acme = await world_of_types.add_tenant("acme", **OPTIONS)
    own = acme.server.create(CUSTOM_RESOURCE_DEFINITIONS, a_definition(WIDGETS) | {"own": True})
    await world_of_types.in_step(acme)
    acme.server.create(WIDGETS, a_widget())
    await acme.goes_down(WIDGETS, ONE)
    assert acme.server.live(CUSTOM_RESOURCE_DEFINITIONS, NAME) == own


async def test_a_snapshot_of_a_claim(world: World) -> None:
    for resource in (VOLUME_SNAPSHOTS, VOLUME_SNAPSHOT_CLASSES):
        world.super.create(CUSTOM_RESOURCE_DEFINITIONS, a_definition(resource))
    await world.start_syncer()
    acme = await a_tenant(world, volumeSnapshots=True)
    snapshot = {
        "metadata": {"name": "monday", "namespace": "default"},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
    }
    acme.server.create(VOLUME_SNAPSHOTS, snapshot)
    await acme.told("NotOffered")
    public = {"name": "daily", "labels": {api.PUBLIC_LABEL: "true"}}
    public["annotations"] = {"snapshot.storage.kubernetes.io/is-default-class": "true"}
    world.super.create(VOLUME_SNAPSHOT_CLASSES, {"metadata": public, "driver": "csi.example.com"})
    key = ObjectKey("default", "monday")
    mirror = await acme.goes_down(VOLUME_SNAPSHOTS, key)
    assert mirror["spec"]["volumeSnapshotClassName"] == "daily"
    await eventually(lambda: acme.server.objects(VOLUME_SNAPSHOT_CLASSES), "the class is up")
    status = {"readyToUse": True}
    world.super.patch(VOLUME_SNAPSHOTS, acme.mirror_key(key), {"status": status}, "status")
    await eventually(
        lambda: acme.server.live(VOLUME_SNAPSHOTS, key).get("status") == status, "it is ready"
    )
