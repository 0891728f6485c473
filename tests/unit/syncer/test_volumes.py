"""Claims go down, volumes come up: whose they are, under which name, and when they go."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import (
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from tests.builders import a_pod
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

DATA = ObjectKey("default", "data")
DISK = ObjectKey("", "disk")
WEB = ObjectKey("default", "web")
BOUND = {"phase": "Bound", "capacity": {"storage": "1Gi"}}


def a_claim(class_name: str = "fast", **spec: Any) -> Object:
    return {
        "metadata": {"name": DATA.name, "namespace": DATA.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class_name, **spec},
    }


def a_volume(claim: Object | None) -> Object:
    """A volume that is bound to a claim."""
    spec: Object = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/disk"}}
    if claim is not None:
        metadata = claim["metadata"]
        reference = {key: metadata[key] for key in ("namespace", "name", "uid")}
        spec["claimRef"] = reference | {"kind": "PersistentVolumeClaim"}
    return {"metadata": {"name": DISK.name}, "spec": spec}


def offer(world: World, name: str = "fast", **labels: str) -> None:
    labels = labels or {api.PUBLIC_LABEL: "true"}
    metadata = {"name": name, "labels": labels}
    world.super.create(STORAGE_CLASSES, {"metadata": metadata, "provisioner": "example.com/x"})


def phase_above(cluster: TenantCluster) -> str:
    volume = cluster.server.live(PERSISTENT_VOLUMES, DISK)
    return str(volume.get("status", {}).get("phase", ""))


async def bound(world: World, cluster: TenantCluster) -> Object:
    """Do what the super cluster's binder does; the tenant's claim, once it is bound."""
    mirror = await cluster.goes_down(PERSISTENT_VOLUME_CLAIMS, DATA)
    world.super.create(PERSISTENT_VOLUMES, a_volume(mirror))
    world.super.patch(PERSISTENT_VOLUMES, DISK, {"status": {"phase": "Bound"}}, "status")
    key = cluster.mirror_key(DATA)
    world.super.patch(PERSISTENT_VOLUME_CLAIMS, key, {"spec": {"volumeName": DISK.name}})
    world.super.patch(PERSISTENT_VOLUME_CLAIMS, key, {"status": BOUND}, "status")

    def is_bound() -> Object | None:
        claim = cluster.server.live(PERSISTENT_VOLUME_CLAIMS, DATA)
        return claim if claim.get("status", {}).get("phase") == "Bound" else None

    return await eventually(is_bound, "the tenant's claim is bound")


async def test_a_bound_claim_and_its_volume_name_each_other(
    world: World, acme: TenantCluster
) -> None:
    other = await world.add_tenant("other")
    await world.in_step(other)
    offer(world)
    source = acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    claim = await bound(world, acme)
    assert claim["status"] == BOUND
    assert claim["spec"]["volumeName"] == DISK.name
    volume = acme.server.live(PERSISTENT_VOLUMES, DISK)
    assert volume["spec"]["claimRef"]["uid"] == source["metadata"]["uid"]
    assert volume["spec"]["claimRef"]["namespace"] == "default"
    assert acme.tenant.key not in str(volume)
    assert not other.server.objects(PERSISTENT_VOLUMES)


async def test_a_volume_of_nobody_or_of_the_provider_is_shown_to_nobody(
    world: World, acme: TenantCluster
) -> None:
    foreign = {"metadata": {"name": "own", "namespace": "tenants", "uid": "of-the-providers"}}
    world.super.create(PERSISTENT_VOLUMES, a_volume(foreign))
    free = a_volume(None)
    world.super.create(PERSISTENT_VOLUMES, free | {"metadata": {"name": "free"}})
    offer(world)
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    mirror = await acme.goes_down(PERSISTENT_VOLUME_CLAIMS, DATA)
    stale = a_volume(mirror | {"metadata": mirror["metadata"] | {"uid": "of-a-predecessor"}})
    world.super.create(PERSISTENT_VOLUMES, stale | {"metadata": {"name": "stale"}})
    mine = a_volume(mirror) | {"metadata": {"name": "mine"}}
    world.super.create(PERSISTENT_VOLUMES, mine)
    await eventually(lambda: acme.server.objects(PERSISTENT_VOLUMES), "the volume is up")
    shown = acme.server.objects(PERSISTENT_VOLUMES)
    assert [item["metadata"]["name"] for item in shown] == ["mine"]


async def test_a_volume_goes_with_the_super_clusters_also_after_a_restart(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    await bound(world, acme)
    await eventually(lambda: phase_above(acme) == "Bound", "the volume shows as bound")
    await world.kill_syncer()
    world.super.delete(PERSISTENT_VOLUMES, DISK)
    await world.start_syncer()
    await eventually(lambda: not acme.server.objects(PERSISTENT_VOLUMES), "the volume is gone")
    patched = acme.server.script.calls("PATCH", "persistentvolumes", "status")
    assert patched[-1].json["status"]["phase"] == "Released", "else the protection would keep it"


async def test_a_volume_that_is_kept_after_its_claim_stays_shown(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    await bound(world, acme)
    acme.server.delete(PERSISTENT_VOLUME_CLAIMS, DATA)
    await acme.gone_everywhere(PERSISTENT_VOLUME_CLAIMS, DATA)
    world.super.patch(PERSISTENT_VOLUMES, DISK, {"status": {"phase": "Released"}}, "status")
    await eventually(lambda: phase_above(acme) == "Released", "the tenant sees that it is free")
    assert acme.server.live(PERSISTENT_VOLUMES, DISK)["spec"]["claimRef"]["namespace"] == "default"


async def test_a_volume_goes_also_when_the_namespace_of_its_claim_went_before(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    await bound(world, acme)
    acme.server.delete(NAMESPACES, ObjectKey("", DATA.namespace))
    below = ObjectKey("", acme.mirror_key(DATA).namespace)
    await eventually(lambda: not world.super.get(NAMESPACES, below), "the super namespace is gone")
    world.super.patch(PERSISTENT_VOLUMES, DISK, {"status": {"phase": "Released"}}, "status")
    await eventually(lambda: phase_above(acme) == "Released", "the volume is still shown")
    world.super.delete(PERSISTENT_VOLUMES, DISK)
    await eventually(lambda: not acme.server.objects(PERSISTENT_VOLUMES), "the volume is gone")


@pytest.mark.parametrize("kept", [False, True], ids=["bound", "kept"])
async def test_a_copy_forged_by_a_tenant_shows_nothing_of_anothers_volume(
    world: World, acme: TenantCluster, kept: bool
) -> None:
    offer(world)
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    await bound(world, acme)
    if kept:
        acme.server.delete(PERSISTENT_VOLUME_CLAIMS, DATA)
        await acme.gone_everywhere(PERSISTENT_VOLUME_CLAIMS, DATA)
    thief = await world.add_tenant("thief")
    volume = world.super.live(PERSISTENT_VOLUMES, DISK)
    marks = {api.UID_ANNOTATION: volume["metadata"]["uid"], api.NAME_ANNOTATION: DISK.name}
    # All the rest is guessed right: nothing else would need another copy.
    own = {"metadata": {"namespace": "default", "name": "data", "uid": "forged"}}
    forged = a_volume(own) | {"metadata": {"name": DISK.name, "annotations": marks}}
    thief.server.create(PERSISTENT_VOLUMES, forged)
    await world.in_step(thief)
    await eventually(lambda: not thief.server.objects(PERSISTENT_VOLUMES), "the forgery is gone")
    assert acme.server.get(PERSISTENT_VOLUMES, DISK)


async def test_a_volume_of_the_tenants_own_keeps_its_name_over_a_restart(
    world: World, acme: TenantCluster
) -> None:
    own = acme.server.create(PERSISTENT_VOLUMES, {"metadata": {"name": "disk"}, "spec": {}})
    offer(world)
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    claim = await bound(world, acme)
    name = claim["spec"]["volumeName"]
    assert name.startswith("disk-")
    await world.kill_syncer()
    world.super.patch(PERSISTENT_VOLUMES, DISK, {"spec": {"capacity": {"storage": "2Gi"}}})
    await world.start_syncer()
    grown = {"storage": "2Gi"}
    await eventually(
        lambda: (
            acme.server.live(PERSISTENT_VOLUMES, ObjectKey("", name))["spec"]["capacity"] == grown
        ),
        "the copy follows under its name",
    )
    acme.server.delete(PERSISTENT_VOLUMES, ObjectKey("", name))
    before = claim["metadata"]["resourceVersion"]
    await eventually(
        lambda: (
            (found := acme.server.get(PERSISTENT_VOLUMES, ObjectKey("", name)))
            and int(found["metadata"]["resourceVersion"]) > int(before)
        ),
        "the copy is back",
    )
    assert acme.server.live(PERSISTENT_VOLUMES, DISK) == own
    assert len(acme.server.objects(PERSISTENT_VOLUMES)) == 2


async def test_a_claim_for_a_class_that_is_not_offered_waits_until_it_is(
    world: World, acme: TenantCluster
) -> None:
    offer(world, "fast", tier="1")
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    event = await acme.told("NotOffered")
    assert "'fast' is not offered here; offered: none" in event["message"]
    assert not acme.mirror(PERSISTENT_VOLUME_CLAIMS, DATA)
    public = {"metadata": {"labels": {api.PUBLIC_LABEL: "true"}}}
    world.super.patch(STORAGE_CLASSES, ObjectKey("", "fast"), public)
    await acme.goes_down(PERSISTENT_VOLUME_CLAIMS, DATA)
    # What runs goes on when the class is withdrawn.
    private = {"metadata": {"labels": {api.PUBLIC_LABEL: None}}}
    world.super.patch(STORAGE_CLASSES, ObjectKey("", "fast"), private)
    await eventually(lambda: not acme.server.objects(STORAGE_CLASSES), "it is withdrawn")
    wish = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    acme.server.patch(PERSISTENT_VOLUME_CLAIMS, DATA, wish)
    await eventually(
        lambda: "resources" in (acme.mirror(PERSISTENT_VOLUME_CLAIMS, DATA) or {})["spec"],
        "the wish is down",
    )


async def test_a_pod_waits_for_its_claim(world: World, acme: TenantCluster) -> None:
    offer(world)
    source = {"name": "v", "persistentVolumeClaim": {"claimName": DATA.name}}
    acme.server.create(PODS, a_pod(volumes=[source]))
    event = await acme.told("FailedScheduling")
    assert event["message"] == 'persistentvolumeclaim "data" not found'
    await waits(acme, event["message"])
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    await acme.goes_down(PODS, WEB)


async def waits(acme: TenantCluster, message: str) -> None:
    """The pod says why it finds no place, and has no super pod."""

    def said() -> list[Object]:
        return acme.server.live(PODS, WEB)["status"].get("conditions") or []

    (condition,) = await eventually(said, "it says why it waits")
    assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
    assert (condition["reason"], condition["message"]) == ("Unschedulable", message)
    assert not acme.mirror(PODS, WEB)


async def test_a_pod_waits_while_its_claim_is_being_deleted(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    held = a_claim()
    held["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, held)
    await acme.goes_down(PERSISTENT_VOLUME_CLAIMS, DATA)
    source = {"name": "v", "persistentVolumeClaim": {"claimName": DATA.name}}
    acme.server.create(PODS, a_pod("user", volumes=[source]))
    user = ObjectKey("default", "user")
    await acme.runs(user)
    acme.server.delete(PERSISTENT_VOLUME_CLAIMS, DATA)
    acme.server.create(PODS, a_pod(volumes=[source]))
    await waits(acme, 'persistentvolumeclaim "data" is being deleted')
    # The one that uses it already can still be changed.
    acme.server.patch(PODS, user, {"metadata": {"labels": {"still": "there"}}})
    await eventually(
        lambda: "still" in (acme.mirror(PODS, user) or {})["metadata"]["labels"], "it is changed"
    )
    acme.server.patch(PERSISTENT_VOLUME_CLAIMS, DATA, {"metadata": {"finalizers": None}})
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    await acme.goes_down(PODS, WEB)


async def test_a_claim_of_the_same_name_that_is_refused_leaves_no_data_behind(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim())
    await acme.goes_down(PERSISTENT_VOLUME_CLAIMS, DATA)
    await world.kill_syncer()
    snapshot = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "old"}
    acme.server.delete(PERSISTENT_VOLUME_CLAIMS, DATA)
    acme.server.create(PERSISTENT_VOLUME_CLAIMS, a_claim(dataSource=snapshot))
    await world.start_syncer()
    await acme.told("NotServed")
    await eventually(
        lambda: not acme.mirror(PERSISTENT_VOLUME_CLAIMS, DATA), "the predecessor's mirror is gone"
    )
