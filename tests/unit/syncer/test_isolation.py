"""Laws 1 to 4 and 8: nothing foreign is touched, nothing is dropped in silence, tenants do not meet."""

import pytest

from kube.objects import ObjectKey
from kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SECRETS, SERVICES
from tests.builders import (
    a_config_map,
    a_namespace,
    a_node,
    a_pod,
    a_service,
    with_metadata,
)
from tests.fakes.faults import Answer
from tests.fakes.storage import Table
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import RUNNING, TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")
# Law 1: what does not carry this tenant's mark is never adopted, changed or deleted.


async def test_law_1_a_foreign_pod_in_the_way_is_left_alone_and_the_tenant_is_told(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod("first"))
    await acme.goes_down(PODS, ObjectKey("default", "first"))
    namespace = acme.mirror_key(WEB).namespace
    foreign = world.super.create(PODS, a_pod(namespace=namespace))
    acme.server.create(PODS, a_pod())
    event = await acme.told("NameTaken")
    assert event["involvedObject"]["name"] == "web"
    assert namespace not in event["message"]
    acme.server.delete(PODS, WEB)
    acme.server.create(PODS, a_pod("after"))
    await acme.goes_down(PODS, ObjectKey("default", "after"))
    assert world.super.get(PODS, acme.mirror_key(WEB)) == foreign


async def test_law_1_a_foreign_namespace_in_the_way_is_left_alone(
    world: World, acme: TenantCluster
) -> None:
    name = api.super_namespace(acme.tenant.key, "shop")
    foreign = world.super.create(NAMESPACES, a_namespace(name))
    acme.server.create(NAMESPACES, a_namespace("shop"))
    acme.server.create(PODS, a_pod(namespace="shop"))
    await acme.told("NameTaken")
    acme.server.delete(NAMESPACES, ObjectKey("", "shop"))
    acme.server.create(PODS, a_pod())
    await acme.goes_down(PODS, WEB)
    assert world.super.get(NAMESPACES, ObjectKey("", name)) == foreign
    assert not world.super.objects(PODS, name)


async def test_law_1_a_mark_of_another_tenant_does_not_make_an_object_ours(world: World) -> None:
    """Even if a label says so: the UID mark and the place have to agree."""
    acme, other = await world.add_tenant("acme"), await world.add_tenant("other")
    await world.start_syncer()
    pod = acme.server.create(PODS, a_pod())
    mirror = await acme.goes_down(PODS, WEB)
    other.server.create(PODS, a_pod("x"))
    await other.goes_down(PODS, ObjectKey("default", "x"))
    namespace = other.mirror_key(WEB).namespace
    copied = mirror["metadata"] | {"namespace": namespace, "name": "copied"}
    copied = {f: copied[f] for f in ("name", "namespace", "labels", "annotations")}
    world.super.create(PODS, a_pod() | {"metadata": copied})
    acme.server.delete(PODS, WEB)
    await acme.gone_everywhere(PODS, WEB)
    assert world.super.get(PODS, ObjectKey(namespace, "copied"))
    assert pod["metadata"]["uid"] == mirror["metadata"]["annotations"][api.UID_ANNOTATION]


@pytest.mark.parametrize("of", ["nobody", "another tenant"])
async def test_law_1_a_pod_in_the_way_that_only_carries_our_label_is_left_alone(
    world: World, acme: TenantCluster, of: str
) -> None:
    """As ``kubectl debug --copy-to`` makes one."""
    acme.server.create(PODS, a_pod("first"))
    mirror = await acme.goes_down(PODS, ObjectKey("default", "first"))
    labels, annotations = mirror["metadata"]["labels"], {}
    if of == "another tenant":
        labels = labels | {api.TENANT_LABEL: "another-0a1b2c3d"}
        annotations = mirror["metadata"]["annotations"]
    key = acme.mirror_key(WEB)
    copy = with_metadata(a_pod(namespace=key.namespace), labels=labels, annotations=annotations)
    foreign = world.super.create(PODS, copy)
    acme.server.create(PODS, a_pod())
    await acme.told("NameTaken")
    acme.server.delete(PODS, WEB)
    acme.server.create(PODS, a_pod("after"))
    await acme.goes_down(PODS, ObjectKey("default", "after"))
    assert world.super.get(PODS, key) == foreign


async def test_law_1_a_service_in_the_way_that_only_carries_our_label_is_left_alone(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(SERVICES, a_service("first", clusterIP="10.101.5.20"))
    mirror = await acme.goes_down(SERVICES, ObjectKey("default", "first"))
    key = acme.mirror_key(WEB)
    copy = a_service(namespace=key.namespace, clusterIP="10.101.5.21")
    copy = with_metadata(copy, labels=mirror["metadata"]["labels"])
    foreign = world.super.create(SERVICES, copy)
    acme.server.create(SERVICES, a_service(clusterIP="10.101.5.21"))
    await acme.told("NameTaken")
    acme.server.delete(SERVICES, WEB)
    acme.server.create(SERVICES, a_service("after", clusterIP="10.101.5.22"))
    await acme.goes_down(SERVICES, ObjectKey("default", "after"))
    assert world.super.get(SERVICES, key) == foreign


async def test_law_1_every_deletion_names_the_uid_of_what_it_means(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    acme.server.create(SERVICES, a_service(clusterIP="10.101.5.20"))
    acme.server.create(NAMESPACES, a_namespace("shop"))
    await acme.goes_down(PODS, WEB)
    await acme.goes_down(SERVICES, WEB)
    await eventually(
        lambda: world.super.get(
            NAMESPACES, ObjectKey("", api.super_namespace(acme.tenant.key, "shop"))
        ),
        "the namespace is down",
    )
    acme.server.delete(PODS, WEB)
    acme.server.delete(SERVICES, WEB)
    acme.server.delete(NAMESPACES, ObjectKey("", "shop"))
    await acme.gone_everywhere(PODS, WEB)
    await acme.gone_everywhere(SERVICES, WEB)
    deletions = world.super.script.calls("DELETE") + acme.server.script.calls("DELETE")
    assert len(deletions) >= 2
    assert all(call.json["preconditions"]["uid"] for call in deletions)
    assert not world.super.script.calls("DELETECOLLECTION")


async def test_law_1_a_node_that_the_tenant_made_itself_is_never_touched(world: World) -> None:
    acme = await world.add_tenant("acme")
    own = acme.server.create(NODES, a_node("node-1", own="yes"))
    await world.start_syncer()
    world.super.create(NODES, a_node("node-2"))
    await eventually(lambda: acme.server.get(NODES, ObjectKey("", "node-2")), "node-2 is up")
    assert acme.server.get(NODES, ObjectKey("", "node-1")) == own


async def test_law_1_what_the_tenant_has_and_the_super_cluster_has_not_is_the_tenants(
    world: World, acme: TenantCluster
) -> None:
    own = acme.server.create(NODES, a_node("of-the-tenant"))
    world.super.create(NODES, a_node("node-2"))
    await eventually(lambda: acme.server.get(NODES, ObjectKey("", "node-2")), "node-2 is up")
    assert acme.server.get(NODES, ObjectKey("", "of-the-tenant")) == own


# Law 2: what is refused is refused aloud.


async def test_law_2_a_refused_object_is_told_and_does_not_hold_up_the_others(
    acme: TenantCluster,
) -> None:
    acme.server.create(SERVICES, a_service("bad", clusterIP="10.96.0.1"))
    acme.server.create(SERVICES, a_service("good", clusterIP="10.101.5.30"))
    await acme.goes_down(SERVICES, ObjectKey("default", "good"))
    events = await eventually(lambda: acme.server.objects(EVENTS), "the tenant is told")
    assert events[0]["involvedObject"]["name"] == "bad"
    assert "10.96.0.1" in events[0]["message"]
    assert not acme.mirror(SERVICES, ObjectKey("default", "bad"))


async def test_law_2_what_the_super_cluster_refuses_is_told_in_the_tenants_words(
    world: World, acme: TenantCluster
) -> None:
    why = f"exceeded quota in {acme.mirror_key(WEB).namespace} of {acme.tenant.key}"
    world.super.script.add_for_good("POST", "/pods$", Answer(403, "Forbidden", why))
    acme.server.create(PODS, a_pod())
    event = (await eventually(lambda: acme.server.objects(EVENTS), "the tenant is told"))[0]
    assert "exceeded quota in default of acme" in event["message"]
    assert acme.tenant.key not in str(event)


async def test_law_2_a_pod_that_was_refused_goes_down_once_there_is_room(
    world: World, acme: TenantCluster
) -> None:
    world.super.script.add("POST", "/pods$", Answer(403, "Forbidden", "exceeded quota"), times=2)
    acme.server.create(PODS, a_pod())
    await acme.goes_down(PODS, WEB)


# Law 3: one tenant's failure changes no other tenant's latency, data or availability.


async def test_law_3_a_tenant_whose_server_hangs_holds_up_nobody(world: World) -> None:
    hung, fine = await world.add_tenant("hung"), await world.add_tenant("fine")
    # Longer than the test waits: who waits for the one that hangs is not saved by a time-out.
    await world.start_syncer(request_timeout=90.0, lease_seconds=180)
    for number in range(60):
        hung.server.create(PODS, a_pod(f"pod-{number}"))
    await eventually(
        lambda: len(world.super.objects(PODS)) == 60, "the pods of the tenant that will hang run"
    )
    hung.server.freeze()
    for mirror in world.super.objects(PODS):
        key = ObjectKey(mirror["metadata"]["namespace"], mirror["metadata"]["name"])
        world.super.bind(PODS, key, "node-1")
        world.super.patch(PODS, key, {"status": RUNNING}, "status")
    fine.server.create(PODS, a_pod())
    await fine.runs(WEB)
    hung.server.thaw()
    for number in range(60):
        await hung.shows(ObjectKey("default", f"pod-{number}"), "Running")


async def test_law_3_a_tenant_whose_server_answers_with_errors_holds_up_nobody(
    world: World,
) -> None:
    broken, fine = await world.add_tenant("broken"), await world.add_tenant("fine")
    await world.start_syncer()
    fault = broken.server.script.add_for_good("*", "/api", Answer(500, "InternalError"))
    broken.server.create(PODS, a_pod())
    fine.server.create(PODS, a_pod())
    await fine.runs(WEB)
    fault.remove()
    await broken.runs(WEB)


async def test_law_3_a_tenant_that_is_down_from_the_start_holds_up_nobody(world: World) -> None:
    absent = await world.add_tenant("absent")
    await absent.server.stop()
    await world.start_syncer_without_waiting()
    fine = await world.add_tenant("fine")
    await world.in_step(fine)
    fine.server.create(PODS, a_pod())
    await fine.runs(WEB)
    await absent.server.start()
    absent.server.create(PODS, a_pod())
    await absent.runs(WEB)


async def test_law_3_an_object_that_nobody_can_read_holds_up_nobody(
    acme: TenantCluster,
) -> None:
    broken = with_metadata(a_pod("broken"), labels={"a": "b"})
    key = ObjectKey("default", "broken")
    acme.server.create(PODS, broken)
    await acme.goes_down(PODS, key)
    acme.server.verbs.storage.write(
        Table("", "pods"), key, acme.server.live(PODS, key) | {"spec": "not a spec"}
    )
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)


# Law 4: nothing of one tenant is visible to another.


async def test_law_4_tenants_with_the_same_names_do_not_meet(world: World) -> None:
    acme, other = await world.add_tenant("acme"), await world.add_tenant("other")
    await world.start_syncer()
    for cluster in (acme, other):
        cluster.server.create(PODS, with_metadata(a_pod(), labels={"of": cluster.tenant.name}))
    await acme.runs(WEB)
    await other.goes_down(PODS, WEB)
    assert other.server.live(PODS, WEB)["status"]["phase"] == "Pending"
    acme.server.delete(PODS, WEB, grace=0)
    await eventually(
        lambda: "deletionTimestamp" in world.super.live(PODS, acme.mirror_key(WEB))["metadata"],
        "acme's super pod ends",
    )
    assert other.mirror(PODS, WEB)
    for key in (acme.tenant.key, acme.mirror_key(WEB).namespace):
        assert key not in str([other.server.objects(r) for r in (PODS, NODES, EVENTS, NAMESPACES)])


# Law 8: secrets never reach logs or events.


async def test_law_8_a_secret_travels_only_as_a_secret(
    world: World, acme: TenantCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = {"metadata": {"name": "s", "namespace": "default"}, "data": {"p": "aHVudGVyMg=="}}
    acme.server.create(SECRETS, secret)
    volume = {"name": "v", "secret": {"secretName": "s"}}
    acme.server.create(PODS, a_pod(volumes=[volume]))
    await acme.goes_down(PODS, WEB)
    mirror = await acme.goes_down(SECRETS, ObjectKey("default", "s"))
    assert mirror["data"] == secret["data"]
    others = [world.super.objects(kind) for kind in (PODS, NAMESPACES, EVENTS)]
    assert "aHVudGVyMg" not in str(others) + "".join(capsys.readouterr())


async def test_config_maps_go_down_only_while_a_pod_uses_them(acme: TenantCluster) -> None:
    acme.server.create(CONFIG_MAPS, a_config_map("unused"))
    acme.server.create(CONFIG_MAPS, a_config_map("used"))
    volume = {"name": "v", "configMap": {"name": "used"}}
    acme.server.create(PODS, a_pod(volumes=[volume]))
    await acme.goes_down(PODS, WEB)
    assert acme.mirror(CONFIG_MAPS, ObjectKey("default", "used"))
    assert not acme.mirror(CONFIG_MAPS, ObjectKey("default", "unused"))
