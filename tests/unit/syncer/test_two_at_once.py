"""Two syncers that both believe to own a tenant: nothing is lost, nothing is done twice.

The members of one namespace are in this position for no longer than a request is under way. These two are
of two namespaces, so each believes to be alone. Where one has to be late, its watch says nothing.
"""

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import (
    CONFIG_MAPS,
    EVENTS,
    INGRESS_CLASSES,
    INGRESSES,
    NAMESPACES,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from tests.builders import a_config_map, a_namespace, a_pod, a_service
from tests.fakes.faults import Hang
from tests.fakes.waiting import eventually
from tests.unit.syncer.test_ingresses import CERTIFICATE, HOST, an_ingress
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")
KEYS = [ObjectKey("default", f"pod-{number}") for number in range(8)]


async def start_other(world: World, cluster: TenantCluster, late: str = "") -> None:
    """Start the second syncer; its watch of the kind ``late`` at the tenant says nothing."""
    if late:
        cluster.server.script.add("WATCH", f"/{late}$", Hang())
    world.super.create(NAMESPACES, a_namespace("elsewhere"))
    watches = len(cluster.server.script.calls("WATCH"))
    # A watch that hangs is not to be given up as long as the test lasts.
    other = world.start_member(
        "other", namespace="elsewhere", request_timeout=90.0, lease_seconds=180
    )
    await eventually(
        lambda: (
            len(cluster.server.script.calls("WATCH")) >= 2 * watches and not other.app.problems()
        ),
        "the other is in step",
    )


def a_full_pod(name: str) -> Object:
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    volumes = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "token", "projected": {"sources": [token]}},
    ]
    return a_pod(name, volumes=volumes)


def an_event(world: World, cluster: TenantCluster, key: ObjectKey) -> Object:
    mirror = world.super.live(PODS, cluster.mirror_key(key))["metadata"]
    involved = {name: mirror[name] for name in ("name", "namespace", "uid")}
    return {
        "metadata": {"name": f"{key.name}.17a", "namespace": mirror["namespace"]},
        "involvedObject": {"kind": "Pod", **involved},
        "reason": "Pulled",
        "message": "image pulled",
        "count": 1,
    }


def super_uids(world: World, cluster: TenantCluster) -> dict[str, str]:
    """The UID of each super pod, by name."""
    pods = world.super.objects(PODS, cluster.mirror_key(WEB).namespace)
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}


def deleted(world: World, plural: str) -> list[str]:
    """The names of what the syncers have asked the super cluster to delete."""
    return [call.name for call in world.super.script.calls("DELETE", plural)]


async def ends(world: World, cluster: TenantCluster, key: ObjectKey = WEB) -> None:
    """Wait until a super pod is told to end, and do what the kubelet does then."""
    below = cluster.mirror_key(key)
    await eventually(
        lambda: "deletionTimestamp" in world.super.live(PODS, below)["metadata"], f"{key} ends"
    )
    world.super.delete(PODS, below, grace=0)


async def test_the_life_of_many_pods_is_as_with_one(world: World, acme: TenantCluster) -> None:
    await start_other(world, acme)
    acme.server.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    acme.server.create(CONFIG_MAPS, a_config_map("settings"))
    acme.server.create(SERVICES, a_service(clusterIP="10.101.5.20"))
    for key in KEYS:
        acme.server.create(PODS, a_full_pod(key.name))
    for key in KEYS:
        await acme.runs(key)
        world.super.create(EVENTS, an_event(world, acme, key))
    before = super_uids(world, acme)
    await eventually(lambda: len(acme.server.objects(EVENTS)) == len(KEYS), "all events are up")
    for key in KEYS[:4]:
        acme.server.delete(PODS, key)
        await ends(world, acme, key)
        await acme.gone_everywhere(PODS, key)
    namespace = acme.mirror_key(WEB).namespace
    await eventually(
        lambda: len(world.super.objects(SECRETS, namespace)) == 4,
        "the tokens of the others are gone",
    )
    assert super_uids(world, acme) == {key.name: before[key.name] for key in KEYS[4:]}
    assert set(deleted(world, "pods")) == {key.name for key in KEYS[:4]}
    assert not deleted(world, "configmaps")
    assert len(acme.server.objects(EVENTS)) == len(KEYS)
    assert [pod["status"]["phase"] for pod in acme.server.objects(PODS)] == ["Running"] * 4


@pytest.mark.parametrize("resource", [NAMESPACES, SERVICES, PODS], ids=lambda kind: kind.plural)
async def test_what_replaced_an_object_is_not_deleted_by_the_one_that_is_late(
    world: World, acme: TenantCluster, resource: Resource
) -> None:
    key = ObjectKey("", "shop") if resource is NAMESPACES else WEB
    made = {
        "namespaces": a_namespace("shop"),
        "services": a_service(clusterIP="10.101.5.20"),
        "pods": a_pod(),
    }[resource.plural]
    below = acme.mirror_key(key)
    if resource is NAMESPACES:
        below = ObjectKey("", api.super_namespace(acme.tenant.key, "shop"))
    acme.server.create(resource, made)
    await eventually(lambda: world.super.get(resource, below), "it is down")
    if resource is PODS:
        await acme.runs(WEB)
    await start_other(world, acme, late=resource.plural)
    reads = len(acme.server.script.calls("GET", resource.plural))
    acme.server.delete(resource, key)
    if resource is PODS:
        await ends(world, acme)
    await eventually(
        lambda: not (acme.server.get(resource, key) or world.super.get(resource, below)),
        "it is gone on both sides",
    )
    acme.server.create(resource, made)
    await eventually(lambda: world.super.get(resource, below), "the next one is down")
    uid = world.super.live(resource, below)["metadata"]["uid"]
    await eventually(
        lambda: len(acme.server.script.calls("GET", resource.plural)) > reads,
        "the one that is late looks at the tenant's object",
    )
    await settled(world, acme)
    assert world.super.live(resource, below)["metadata"]["uid"] == uid
    assert "deletionTimestamp" not in world.super.live(resource, below)["metadata"]


async def test_what_a_pod_uses_is_not_deleted_by_the_one_that_does_not_know_the_pod(
    world: World, acme: TenantCluster
) -> None:
    await start_other(world, acme, late="pods")
    acme.server.create(CONFIG_MAPS, a_config_map("settings"))
    acme.server.create(PODS, a_pod(volumes=[{"name": "s", "configMap": {"name": "settings"}}]))
    await acme.runs(WEB)
    await settled(world, acme)
    assert acme.mirror(CONFIG_MAPS, ObjectKey("default", "settings"))
    assert not deleted(world, "configmaps")


async def test_a_certificate_is_not_deleted_by_the_one_that_does_not_know_the_ingress(
    world: World,
) -> None:
    acme = await world.add_tenant("acme", ingresses=True)
    metadata = {"name": "public", "labels": {api.PUBLIC_LABEL: "true"}}
    world.super.create(INGRESS_CLASSES, {"metadata": metadata, "spec": {"controller": "x/y"}})
    await world.start_syncer()
    await start_other(world, acme, late="ingresses")
    acme.server.create(SECRETS, {"metadata": {"name": "shop-tls", "namespace": "default"}})
    tls = [{"hosts": [HOST], "secretName": CERTIFICATE.name}]
    acme.server.create(INGRESSES, an_ingress(tls=tls))
    await acme.goes_down(SECRETS, CERTIFICATE)
    await settled(world, acme)
    assert acme.mirror(SECRETS, CERTIFICATE)
    assert not deleted(world, "secrets")


async def test_a_deletion_that_one_has_not_heard_of_is_told_as_no_eviction(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    await start_other(world, acme, late="pods")
    acme.server.delete(PODS, WEB)
    await ends(world, acme)
    await acme.gone_everywhere(PODS, WEB)
    await settled(world, acme)
    written = acme.server.script.calls("PATCH", "pods", "status")
    assert not [call for call in written if b"DisruptionTarget" in call.body]


async def test_a_node_in_use_is_not_taken_away_by_the_one_that_does_not_know_the_pod(
    world: World,
) -> None:
    acme = await world.add_tenant("acme", spec={"nodes": {"mode": "used"}})
    await world.start_syncer()
    await start_other(world, acme, late="pods")
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    await settled(world, acme)
    assert acme.server.get(NODES, ObjectKey("", "node-1"))
    assert not acme.server.script.calls("DELETE", "nodes")


async def settled(world: World, cluster: TenantCluster) -> None:
    """Both have worked on what came before: a namespace goes down, and a node comes up, twice asked for."""
    name = f"later-{len(world.super.script.log)}"
    cluster.server.create(NAMESPACES, a_namespace(name))
    below = ObjectKey("", api.super_namespace(cluster.tenant.key, name))
    await eventually(lambda: world.super.get(NAMESPACES, below), "a later namespace is down")
    await eventually(
        lambda: all(syncer.app.idle for syncer in world.syncers.values()), "both have nothing to do"
    )
