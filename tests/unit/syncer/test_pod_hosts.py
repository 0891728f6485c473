"""The init container that writes /etc/hosts: in super pods, and nowhere that a tenant looks."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import EVENTS, NODES, PODS
from syncer.settings import Settings
from tests.builders import a_pod
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import RUNNING, TenantCluster, World
from vcluster.hosts_file import FIELD_PATH, NAME

WEB = ObjectKey("default", "web")
IMAGE = "registry.example.com/busybox:1"
ASKED = {"cpu": "50m", "memory": "20Mi"}
MAIN = {"name": "main", "image": "only.example.com/main:1", "resources": {"requests": ASKED}}
POLICY = {
    "podSecurity": "baseline",
    "registries": ["only.example.com"],
    "requests": {
        "required": ["cpu", "ephemeral-storage"],
        "defaults": {"ephemeral-storage": "1Gi"},
    },
}
HARD = {"requests.cpu": "100m", "requests.memory": "40Mi", "requests.ephemeral-storage": "2Gi"}


@pytest.fixture
async def acme(world: World) -> TenantCluster:
    """A tenant with a policy and a quota, neither of which what is ours would pass."""
    cluster = await world.add_tenant("acme", {"policy": POLICY, "quota": {"hard": HARD}})
    await world.start_syncer(hosts_image=IMAGE)
    await eventually(lambda: cluster.server.get(NODES, ObjectKey("", "node-1")), "node-1 is up")
    return cluster


def in_ring(name: str = "web", **spec: Any) -> Object:
    return a_pod(name, containers=[MAIN], subdomain="ring", **spec)


async def test_it_is_neither_refused_by_policy_nor_counted(acme: TenantCluster) -> None:
    for name in ("web", "more"):
        acme.server.create(PODS, in_ring(name))
        mirror = await acme.goes_down(PODS, ObjectKey("default", name))
        (first,) = mirror["spec"]["initContainers"]
        assert (first["name"], first["image"]) == (NAME, IMAGE)
        assert first["resources"] == {"requests": ASKED}
    acme.server.create(PODS, in_ring("third"))
    assert "requests.cpu" in (await acme.told("QuotaExceeded"))["message"]


async def test_pods_without_a_subdomain_have_none(acme: TenantCluster) -> None:
    acme.server.create(PODS, a_pod(containers=[MAIN]))
    assert "initContainers" not in (await acme.goes_down(PODS, WEB))["spec"]


async def test_the_status_never_shows_it_and_changes_leave_it_alone(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, in_ring())
    before = await acme.goes_down(PODS, WEB)
    world.super.bind(PODS, acme.mirror_key(WEB), "node-1")
    status = RUNNING | {
        "initContainerStatuses": [{"name": NAME, "state": {"terminated": {"exitCode": 0}}}],
        "containerStatuses": [{"name": "main", "volumeMounts": [{"name": NAME}], "ready": True}],
    }
    world.super.patch(PODS, acme.mirror_key(WEB), {"status": status}, "status")
    shown = await acme.shows(WEB, "Running")
    assert shown["status"]["containerStatuses"] == [{"name": "main", "ready": True}]
    assert NAME not in str(shown)
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"a": "b"}}})
    mirror = acme.mirror_key(WEB)
    await eventually(
        lambda: world.super.live(PODS, mirror)["metadata"]["labels"].get("a") == "b",
        "the label is down",
    )
    after = world.super.live(PODS, mirror)["spec"]
    for field in ("initContainers", "containers", "volumes"):
        assert after[field] == before["spec"][field]


async def test_a_restarted_syncer_leaves_pods_as_they_are(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, in_ring())
    before = await acme.goes_down(PODS, WEB)
    await world.kill_syncer()
    await world.start_syncer(hosts_image="")
    await world.nothing_to_do()
    assert world.super.live(PODS, acme.mirror_key(WEB)) == before
    status = {"initContainerStatuses": [{"name": NAME}], "phase": "Pending", "startTime": "T"}
    world.super.patch(PODS, acme.mirror_key(WEB), {"status": status}, "status")
    await eventually(lambda: acme.server.live(PODS, WEB)["status"].get("startTime"), "it is up")
    assert NAME not in str(acme.server.live(PODS, WEB))


async def test_of_its_events_the_tenant_hears_only_that_something_is_wrong(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, in_ring())
    mirror = (await acme.goes_down(PODS, WEB))["metadata"]
    reference = {name: mirror[name] for name in ("name", "namespace", "uid")}
    for name, kind, reason, path in (
        ("web.1", "Normal", "Pulled", FIELD_PATH),
        ("web.2", "Normal", "BackOff", FIELD_PATH),
        ("web.3", "Warning", "Failed", FIELD_PATH),
        ("web.4", "Normal", "Started", "spec.containers{main}"),
    ):
        event = {
            "metadata": {"name": name, "namespace": mirror["namespace"]},
            "involvedObject": {"kind": "Pod", "fieldPath": path, **reference},
            "type": kind,
            "reason": reason,
            "message": f"about {IMAGE}",
        }
        world.super.create(EVENTS, event)
    await acme.told("Started")
    failed = await acme.told("Failed")
    await world.nothing_to_do()
    assert "cannot prepare its /etc/hosts" in failed["message"]
    assert {event["reason"] for event in acme.server.objects(EVENTS)} == {"Started", "Failed"}
    assert NAME not in str(acme.server.objects(EVENTS))


async def test_a_pod_that_uses_the_name_is_refused_aloud(acme: TenantCluster) -> None:
    acme.server.create(PODS, a_pod(containers=[MAIN, MAIN | {"name": NAME}]))
    event = await acme.told("ReservedName")
    assert event["message"] == (
        f"spec.containers[].name: {NAME!r} is taken in the cluster that runs the pod: "
        "choose another name"
    )
    assert acme.mirror(PODS, WEB) is None


def test_an_image_is_one_word() -> None:
    with pytest.raises(ValueError, match=r"SYNCER_HOSTS_IMAGE is 'a b', but must be the name"):
        Settings(hosts_image="a b")
