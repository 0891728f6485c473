"""Devices by claim: pods wait for claims, the tenant's own controller is left alone, quota holds."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import (
    DEVICE_CLASSES,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
)
from syncer.tenants import VIRTUAL_CLUSTERS
from tests.builders import a_namespace, a_node, a_pod
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import RUNNING, TenantCluster, World
from vcluster import api

GPU, TRAIN = ObjectKey("default", "gpu"), ObjectKey("default", "train")
SLICE = ObjectKey("", "node-1-gpu")
CLASS_KEY = "gpu.deviceclass.resource.k8s.io/devices"
ALLOCATION = {
    "devices": {"results": [{"request": "r", "driver": "d", "pool": "node-1", "device": "gpu-0"}]}
}


def a_class(name: str = "gpu", public: str = "true", **spec: Any) -> Object:
    return {"metadata": {"name": name, "labels": {api.PUBLIC_LABEL: public}}, "spec": spec}


def a_slice(node: str = "node-1") -> Object:
    spec = {"driver": "d", "nodeName": node, "pool": {"name": node}, "devices": [{"name": "gpu-0"}]}
    return {"metadata": {"name": f"{node}-gpu"}, "spec": spec}


def a_claim(key: ObjectKey = GPU, device_class: str = "gpu", count: int = 1) -> Object:
    exactly = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": count}
    return {
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}},
    }


@pytest.fixture
async def claiming(world: World) -> World:
    """A super cluster that offers a class of devices, and a syncer."""
    world.super.create(DEVICE_CLASSES, a_class())
    world.super.create(RESOURCE_SLICES, a_slice())
    await world.start_syncer()
    return world


async def a_tenant(world: World, spec: Object | None = None) -> TenantCluster:
    tenant = await world.add_tenant("acme", spec, resourceClaims=True)
    await world.in_step(tenant)
    return tenant


def limited(**hard: str) -> Object:
    names = {"devices": CLASS_KEY, "gpus": "requests.nvidia.com/gpu"}
    return {"quota": {"hard": {names[key]: amount for key, amount in hard.items()}}}


def reserved(cluster: TenantCluster) -> list[str]:
    """For which pods the tenant's claim says that it is reserved."""
    status = cluster.server.live(RESOURCE_CLAIMS, GPU).get("status") or {}
    return [consumer["uid"] for consumer in status.get("reservedFor") or ()]


def reserve(world: World, cluster: TenantCluster, *pods: ObjectKey) -> None:
    """Do what the scheduler does."""
    found = [world.super.live(PODS, cluster.mirror_key(pod)) for pod in pods]
    consumers = [
        {"resource": "pods", "name": one["metadata"]["name"], "uid": one["metadata"]["uid"]}
        for one in found
    ]
    status = {"allocation": ALLOCATION, "reservedFor": consumers} if pods else None
    world.super.patch(RESOURCE_CLAIMS, cluster.mirror_key(GPU), {"status": status}, "status")


async def test_a_pod_waits_for_the_claim_of_its_template_and_then_for_that(claiming: World) -> None:
    acme = await a_tenant(claiming)
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    acme.server.create(PODS, a_pod("train", resourceClaims=claims))
    acme.server.create(PODS, a_pod("web"))
    await acme.goes_down(PODS, ObjectKey("default", "web"))
    made = [{"name": "gpu", "resourceClaimName": GPU.name}]
    acme.server.patch(PODS, TRAIN, {"status": {"resourceClaimStatuses": made}}, "status")
    event = await acme.told("FailedScheduling")
    assert event["message"] == "ResourceClaim 'gpu' not found: the pod waits for one"
    assert not acme.mirror(PODS, TRAIN)
    acme.server.create(RESOURCE_CLAIMS, a_claim())
    below = await acme.goes_down(PODS, TRAIN)
    assert below["spec"]["resourceClaims"] == [{"name": "gpu", "resourceClaimName": GPU.name}]
    assert acme.mirror(RESOURCE_CLAIMS, GPU)


async def test_what_the_tenants_controller_says_of_a_pods_claims_stays(claiming: World) -> None:
    acme = await a_tenant(claiming)
    claims = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
    acme.server.create(RESOURCE_CLAIMS, a_claim())
    acme.server.create(PODS, a_pod("train", resourceClaims=claims))
    made = [{"name": "gpu", "resourceClaimName": GPU.name}]
    acme.server.patch(PODS, TRAIN, {"status": {"resourceClaimStatuses": made}}, "status")
    await acme.goes_down(PODS, TRAIN)
    theirs = {
        "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "of-the-super-cluster"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "of-its-scheduler"},
    }
    claiming.super.bind(PODS, acme.mirror_key(TRAIN), "node-1")
    claiming.super.patch(PODS, acme.mirror_key(TRAIN), {"status": RUNNING | theirs}, "status")
    pod = await acme.shows(TRAIN, "Running")
    assert pod["status"]["resourceClaimStatuses"] == made
    assert "extendedResourceClaimStatus" not in pod["status"]
    await claiming.kill_syncer()
    before = len(acme.server.script.calls("PATCH", "pods"))
    await claiming.start_syncer()
    await claiming.nothing_to_do()
    after = len(acme.server.script.calls("PATCH", "pods"))
    assert after == before, "a restart sees that all of it is shown"


async def test_a_claim_is_reserved_for_the_tenants_pods_as_long_as_they_live(
    claiming: World,
) -> None:
    acme = await a_tenant(claiming)
    acme.server.create(RESOURCE_CLAIMS, a_claim())
    claims = [{"name": "gpu", "resourceClaimName": GPU.name}]
    pod = acme.server.create(PODS, a_pod("train", resourceClaims=claims))
    await acme.goes_down(PODS, TRAIN)
    reserve(claiming, acme, TRAIN)
    uid = pod["metadata"]["uid"]
    await eventually(lambda: reserved(acme) == [uid], "it is reserved for the tenant's pod")
    earlier = {"resource": "pods", "name": "train", "uid": "of-an-earlier-super-pod"}
    change = {"status": {"reservedFor": [earlier]}}
    claiming.super.patch(RESOURCE_CLAIMS, acme.mirror_key(GPU), change, "status")
    await eventually(lambda: reserved(acme) == [], "it was another pod of that name")
    reserve(claiming, acme, TRAIN)
    await eventually(lambda: reserved(acme) == [uid], "it is reserved for it again")
    stranger = {"resource": "pods", "name": "train", "uid": "of-another-tenant"}
    acme.server.patch(
        RESOURCE_CLAIMS, GPU, {"status": {"reservedFor": [stranger]}}, "status"
    )  # by the tenant
    await eventually(lambda: reserved(acme) == [uid], "what the tenant made up is put back")
    reserve(claiming, acme)
    await eventually(
        lambda: not acme.server.live(RESOURCE_CLAIMS, GPU).get("status"), "it is free above, too"
    )


async def test_a_reservation_of_a_bound_pod_by_the_tenants_controller_stays(
    claiming: World,
) -> None:
    acme = await a_tenant(claiming)
    acme.server.create(RESOURCE_CLAIMS, a_claim())
    claims = [{"name": "gpu", "resourceClaimName": GPU.name}]
    uids = []
    for name in ("train", "late"):
        pod = acme.server.create(PODS, a_pod(name, resourceClaims=claims))
        uids.append(pod["metadata"]["uid"])
        await acme.goes_down(PODS, ObjectKey("default", name))
    reserve(claiming, acme, TRAIN)
    await eventually(lambda: reserved(acme) == uids[:1], "it is reserved for the first")
    await acme.runs(ObjectKey("default", "late"))
    both = [
        {"resource": "pods", "name": name, "uid": uid}
        for name, uid in zip(("train", "late"), uids, strict=True)
    ]
    acme.server.patch(RESOURCE_CLAIMS, GPU, {"status": {"reservedFor": both}}, "status")
    await claiming.nothing_to_do()
    assert reserved(acme) == uids


async def test_a_claim_that_is_being_deleted_gets_no_more_pods(claiming: World) -> None:
    acme = await a_tenant(claiming)
    acme.server.create(RESOURCE_CLAIMS, a_claim())
    claims = [{"name": "gpu", "resourceClaimName": GPU.name}]
    acme.server.create(PODS, a_pod("train", resourceClaims=claims))
    await acme.goes_down(PODS, TRAIN)
    reserve(claiming, acme, TRAIN)
    await eventually(lambda: reserved(acme), "it is in use")
    acme.server.delete(RESOURCE_CLAIMS, GPU)
    held = acme.server.live(RESOURCE_CLAIMS, GPU)
    assert held["metadata"]["deletionTimestamp"], "it is protected"
    acme.server.create(PODS, a_pod("late", resourceClaims=claims))
    event = await acme.told("FailedScheduling")
    assert event["message"] == "ResourceClaim 'gpu' is being deleted: the pod waits for one"
    reserve(claiming, acme)
    await eventually(lambda: not reserved(acme), "it is in use no more")
    # by the tenant's controller
    acme.server.patch(RESOURCE_CLAIMS, GPU, {"metadata": {"finalizers": None}})
    await acme.gone_everywhere(RESOURCE_CLAIMS, GPU)
    assert not acme.mirror(PODS, ObjectKey("default", "late"))
    acme.server.create(RESOURCE_CLAIMS, a_claim())
    await acme.goes_down(PODS, ObjectKey("default", "late"))


async def test_a_class_is_admitted_when_it_is_offered(claiming: World) -> None:
    acme = await a_tenant(claiming)
    claiming.super.create(DEVICE_CLASSES, a_class("own", public="false"))
    acme.server.create(DEVICE_CLASSES, a_class("own", spec={"selectors": []}))
    acme.server.create(RESOURCE_CLAIMS, a_claim(device_class="own"))
    event = await acme.told("NotOffered")
    assert "'own' is not offered here; offered: gpu" in event["message"]
    change = {"metadata": {"labels": {api.PUBLIC_LABEL: "true"}}}
    claiming.super.patch(DEVICE_CLASSES, ObjectKey("", "own"), change)
    await acme.goes_down(RESOURCE_CLAIMS, GPU)


async def test_devices_are_shown_with_their_node(claiming: World) -> None:
    hidden = a_node("node-2", pool="other")
    claiming.super.create(NODES, hidden)
    claiming.super.create(RESOURCE_SLICES, a_slice("node-2"))
    claiming.super.patch(NODES, ObjectKey("", "node-1"), {"metadata": {"labels": {"pool": "ours"}}})
    acme = await a_tenant(claiming, {"nodes": {"selector": {"pool": "ours"}}})
    await eventually(lambda: acme.server.get(RESOURCE_SLICES, SLICE), "the devices are shown")
    assert [one["metadata"]["name"] for one in acme.server.objects(RESOURCE_SLICES)] == [SLICE.name]
    acme.server.patch(RESOURCE_SLICES, SLICE, {"spec": {"devices": []}})
    await eventually(
        lambda: acme.server.live(RESOURCE_SLICES, SLICE)["spec"]["devices"], "they are put back"
    )
    both = {"metadata": {"labels": {"pool": "ours"}}}
    claiming.super.patch(NODES, ObjectKey("", "node-2"), both)
    other = ObjectKey("", "node-2-gpu")
    await eventually(lambda: acme.server.get(RESOURCE_SLICES, other), "node-2's come with it")
    claiming.super.delete(NODES, ObjectKey("", "node-2"))
    await eventually(lambda: not acme.server.get(RESOURCE_SLICES, other), "and go with it")


async def test_the_quota_counts_devices_over_all_namespaces(claiming: World) -> None:
    acme = await a_tenant(claiming, limited(devices="3"))
    acme.server.create(NAMESPACES, a_namespace("shop"))
    one, two, three = (ObjectKey("shop", "one"), GPU, ObjectKey("default", "three"))
    acme.server.create(RESOURCE_CLAIMS, a_claim(one, count=2))
    await acme.goes_down(RESOURCE_CLAIMS, one)
    acme.server.create(RESOURCE_CLAIMS, a_claim(two, count=2))
    event = await acme.told("QuotaExceeded")
    assert event["message"] == f"waits for quota: {CLASS_KEY}: 2 used, 2 wanted, 3 allowed"
    acme.server.create(RESOURCE_CLAIMS, a_claim(three))
    await claiming.kill_syncer()
    await claiming.start_syncer()
    await claiming.nothing_to_do()
    assert not acme.mirror(RESOURCE_CLAIMS, two)
    acme.server.delete(RESOURCE_CLAIMS, one)
    await acme.goes_down(RESOURCE_CLAIMS, two)


async def test_a_quota_of_a_resource_is_not_gone_round_by_claims(claiming: World) -> None:
    acme = await a_tenant(claiming, limited(gpus="1"))
    acme.server.create(RESOURCE_CLAIMS, a_claim())
    await acme.goes_down(RESOURCE_CLAIMS, GPU)
    # The provider gives the class a name as a resource, when a claim of it is there already.
    named = {"spec": {"extendedResourceName": "nvidia.com/gpu"}}
    claiming.super.patch(DEVICE_CLASSES, ObjectKey("", "gpu"), named)
    limits = {"nvidia.com/gpu": "1"}
    container = {"name": "main", "image": "i", "resources": {"limits": limits, "requests": limits}}

    def used() -> Object:
        key = ObjectKey(acme.tenant.namespace, acme.tenant.name)
        found = claiming.super.live(VIRTUAL_CLUSTERS, key)["status"].get("quota") or {}
        return found.get("used") or {}

    await eventually(lambda: used().get("requests.nvidia.com/gpu") == "1", "it is counted")
    acme.server.create(PODS, a_pod("train", containers=[container]))
    event = await acme.told("QuotaExceeded")
    assert "requests.nvidia.com/gpu: 1 used, 1 wanted, 1 allowed" in event["message"]
    other = ObjectKey("default", "other")
    acme.server.create(RESOURCE_CLAIMS, a_claim(other))
    await claiming.nothing_to_do()
    assert not acme.mirror(RESOURCE_CLAIMS, other)
    assert not acme.mirror(PODS, TRAIN)


async def test_the_claims_go_when_the_option_does(claiming: World) -> None:
    acme = await a_tenant(claiming)
    acme.server.create(RESOURCE_CLAIMS, a_claim())
    await acme.goes_down(RESOURCE_CLAIMS, GPU)
    claiming.set_options(acme, resourceClaims=False)
    await eventually(lambda: not acme.mirror(RESOURCE_CLAIMS, GPU), "the claim is gone below")
    assert acme.server.get(RESOURCE_CLAIMS, GPU)
    claims = [{"name": "gpu", "resourceClaimName": GPU.name}]
    acme.server.create(PODS, a_pod("train", resourceClaims=claims))
    event = await acme.told("NotServed")
    assert "sync.resourceClaims" in event["message"]


async def test_who_has_not_the_option_is_shown_no_devices(claiming: World) -> None:
    mine = await claiming.add_tenant("mine", None, resourceClaims=True)
    others = await claiming.add_tenant("others")
    await claiming.in_step(mine)
    await claiming.in_step(others)
    claiming.super.create(RESOURCE_SLICES, a_slice("node-9"))
    claiming.super.create(NODES, a_node("node-9"))
    node = ObjectKey("", "node-9")
    await eventually(lambda: others.server.get(NODES, node), "the others have the node")
    await eventually(
        lambda: mine.server.get(RESOURCE_SLICES, ObjectKey("", "node-9-gpu")), "it has the devices"
    )
    await claiming.nothing_to_do()
    assert not others.server.objects(RESOURCE_SLICES)
    assert not others.server.script.calls("POST", "resourceslices")
