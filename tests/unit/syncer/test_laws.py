"""The laws that the syncer must keep whatever happens; see docs/architecture.md for their wording."""

import asyncio

import pytest

from kube.objects import ObjectKey, encode
from kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SECRETS, SERVICES
from tests.builders import (
    a_config_map,
    a_namespace,
    a_node,
    a_pod,
    a_service,
    with_metadata,
)
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer, Cut, CutWatch
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
    why = f"exceeded quota in {acme.mirror_key(WEB).namespace}"
    world.super.script.add_for_good("POST", "/pods$", Answer(403, "Forbidden", why))
    acme.server.create(PODS, a_pod())
    event = (await eventually(lambda: acme.server.objects(EVENTS), "the tenant is told"))[0]
    assert "exceeded quota in default" in event["message"]
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
    await world.start_syncer()
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
    async with asyncio.timeout(2):
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
    async with asyncio.timeout(2):
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


# Law 5: any process may be killed at any instant, any event lost, repeated or late.


async def test_law_5_what_happened_while_the_syncer_was_dead_is_caught_up_with(
    world: World, acme: TenantCluster
) -> None:
    keys = {name: ObjectKey("default", name) for name in ("stays", "goes", "vanishes", "ends")}
    for key in keys.values():
        acme.server.create(PODS, a_pod(key.name))
        await acme.runs(key)
    await world.kill_syncer()
    acme.server.delete(PODS, keys["goes"], grace=0)
    world.super.delete(PODS, acme.mirror_key(keys["vanishes"]), grace=0)
    done = {"status": {"phase": "Succeeded"}}
    world.super.patch(PODS, acme.mirror_key(keys["ends"]), done, "status")
    acme.server.create(PODS, a_pod("new"))
    acme.server.compact()
    world.super.compact()
    await world.start_syncer()
    await acme.shows(keys["ends"], "Succeeded")
    await acme.goes_down(PODS, ObjectKey("default", "new"))
    await eventually(lambda: not acme.server.get(PODS, keys["vanishes"]), "it failed and went")
    await eventually(
        lambda: "deletionTimestamp" in world.super.live(PODS, _below(acme, "goes"))["metadata"],
        "the super pod of a deleted pod ends",
    )
    assert acme.server.live(PODS, keys["stays"])["status"]["phase"] == "Running"
    assert len(world.super.script.calls("POST", "pods", "")) == 5


async def test_law_5_a_restart_in_step_writes_nothing(world: World, acme: TenantCluster) -> None:
    for number in range(5):
        acme.server.create(PODS, a_pod(f"pod-{number}"))
        await acme.runs(ObjectKey("default", f"pod-{number}"))
    acme.server.create(SERVICES, a_service(clusterIP="10.101.5.20"))
    await acme.goes_down(SERVICES, WEB)
    await world.kill_syncer()
    versions = _versions(world, acme)
    await world.start_syncer()
    acme.server.create(NAMESPACES, a_namespace("last"))
    await eventually(
        lambda: world.super.get(
            NAMESPACES, ObjectKey("", api.super_namespace(acme.tenant.key, "last"))
        ),
        "all that was queued before is done",
    )
    assert _versions(world, acme) == versions


@pytest.mark.parametrize("moment", range(6))
async def test_law_5_a_kill_at_any_moment_of_many_creations_and_deletions_leaves_no_trace(
    world: World, acme: TenantCluster, moment: int
) -> None:
    keys = [ObjectKey("default", f"pod-{number}") for number in range(12)]
    for key in keys:
        acme.server.create(PODS, a_pod(key.name))
    await eventually(
        lambda: len(world.super.script.calls("POST", "pods", "")) >= 2 * moment,
        "some pods are down",
    )
    await world.kill_syncer()
    for key in keys[::2]:
        acme.server.delete(PODS, key)
    await world.start_syncer()
    await eventually(
        lambda: (
            [pod["metadata"]["name"] for pod in world.super.objects(PODS)]
            == sorted(key.name for key in keys[1::2])
        ),
        "both sides agree",
    )


async def test_law_5_an_answer_that_is_lost_makes_no_second_object(
    world: World, acme: TenantCluster
) -> None:
    world.super.script.add("POST", "/pods$", Cut(done=True), times=2)
    acme.server.script.add("POST", "/binding$", Cut(done=True), times=2)
    acme.server.script.add("PATCH", "/status$", Cut(done=True), times=2)
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    assert len(world.super.objects(PODS)) == 1
    world.super.script.add("DELETE", "/pods/", Cut(done=True), times=2)
    acme.server.script.add("DELETE", "/pods/", Cut(done=True), times=2)
    acme.server.delete(PODS, WEB)
    await eventually(
        lambda: "deletionTimestamp" in world.super.live(PODS, acme.mirror_key(WEB))["metadata"],
        "the super pod ends",
    )
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)


async def test_law_5_watches_that_break_or_grow_old_lose_nothing(
    world: World, acme: TenantCluster
) -> None:
    for server in (world.super, acme.server):
        server.script.add("WATCH", "/pods", CutWatch(after_events=1), times=5)
    for number in range(10):
        acme.server.create(PODS, a_pod(f"pod-{number}"))
        if number % 3 == 0:
            acme.server.compact()
            world.super.compact()
    for number in range(10):
        await acme.runs(ObjectKey("default", f"pod-{number}"))


# Law 6: absence of information is never taken as deletion.


async def test_law_6_while_a_tenants_server_is_away_its_pods_keep_running(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    mirror = acme.mirror(PODS, WEB)
    await acme.server.stop()
    await world.kill_syncer()
    await world.start_syncer_without_waiting()
    other = await world.add_tenant("other")
    await world.in_step(other)
    other.server.create(PODS, a_pod())
    await other.runs(WEB)
    assert acme.mirror(PODS, WEB) == mirror


async def test_law_6_while_the_super_cluster_is_away_nothing_changes_in_the_tenants(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    before = acme.server.live(PODS, WEB)
    await world.super.stop()
    acme.server.create(PODS, a_pod("late"))
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"a": "b"}}})
    await world.super.start()
    await acme.goes_down(PODS, ObjectKey("default", "late"))
    after = acme.server.live(PODS, WEB)
    assert after["status"] == before["status"]
    assert "deletionTimestamp" not in after["metadata"]


async def test_law_6_a_list_that_wrongly_is_empty_deletes_nothing(
    world: World, acme: TenantCluster
) -> None:
    """As from a datastore that was restored, or a proxy in between."""
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    before = (acme.server.live(PODS, WEB), acme.mirror(PODS, WEB))
    await world.kill_syncer()
    acme.server.script.add("LIST", "^/api/v1/pods$", _empty_list(acme.server))
    await world.start_syncer()
    acme.server.create(PODS, a_pod("after"))
    await acme.goes_down(PODS, ObjectKey("default", "after"))
    assert (acme.server.live(PODS, WEB), acme.mirror(PODS, WEB)) == before


async def test_law_6_a_super_list_that_wrongly_is_empty_fails_no_pod(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    before = (acme.server.live(PODS, WEB), acme.mirror(PODS, WEB))
    await world.kill_syncer()
    world.super.script.add("LIST", "^/api/v1/pods$", _empty_list(world.super), times=2)
    await world.start_syncer()
    acme.server.create(PODS, a_pod("after"))
    await acme.goes_down(PODS, ObjectKey("default", "after"))
    assert (acme.server.live(PODS, WEB), acme.mirror(PODS, WEB)) == before


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


def _empty_list(server: FakeApiServer) -> Answer:
    version = str(server.verbs.storage.revision)
    body = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version}}
    return Answer(200, body=encode(body | {"items": []}))


def _below(cluster: TenantCluster, name: str) -> ObjectKey:
    return cluster.mirror_key(ObjectKey("default", name))


def _versions(world: World, cluster: TenantCluster) -> list[str]:
    return [
        f"{kind.plural} {obj['metadata']['name']} {obj['metadata']['resourceVersion']}"
        for server in (world.super, cluster.server)
        for kind in (PODS, SERVICES, NODES, CONFIG_MAPS, SECRETS, EVENTS)
        for obj in server.objects(kind)
    ]
