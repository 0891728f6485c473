"""Laws 5 and 6: kills, lost events and silence change nothing about where it ends."""

import pytest

from kube.objects import ObjectKey, encode
from kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, NODES, PODS, SECRETS, SERVICES
from syncer.runtime.history import history_lost
from syncer.settings import Settings
from tests.builders import (
    a_config_map,
    a_namespace,
    a_pod,
    a_service,
)
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer, Cut, CutWatch, Hang
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")
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


@pytest.mark.parametrize("side", ["tenant", "super"])
async def test_law_5_a_deletion_that_was_answered_by_no_api_server_is_asked_for_again(
    world: World, acme: TenantCluster, side: str
) -> None:
    """Success, says whatever is in between; nothing was deleted."""
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    script = (acme.server if side == "tenant" else world.super).script
    script.add("DELETE", "/pods/", Answer(200, body=b'{"kind":"Pod","metadata":\xff nonsense'))
    if side == "tenant":
        world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    else:
        acme.server.delete(PODS, WEB, grace=30)
        await eventually(
            lambda: "deletionTimestamp" in world.super.live(PODS, _below(acme, "web"))["metadata"],
            "the super pod ends",
        )
        world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)


async def test_law_5_a_restart_in_step_writes_nothing(world: World, acme: TenantCluster) -> None:
    for number in range(5):
        acme.server.create(PODS, a_pod(f"pod-{number}"))
        await acme.runs(ObjectKey("default", f"pod-{number}"))
    acme.server.create(SERVICES, a_service(clusterIP="10.101.5.20"))
    await acme.goes_down(SERVICES, WEB)
    await world.nothing_to_do()
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


async def test_law_5_a_status_that_was_first_seen_by_a_retried_creation_goes_up(
    world: World, acme: TenantCluster
) -> None:
    """The watch is away meanwhile, and later tells of nothing that is known already."""
    acme.server.create(PODS, a_pod("before"))
    await acme.goes_down(PODS, ObjectKey("default", "before"))  # all that pods need is there
    await world.super.stop()
    blind = world.super.script.add_for_good("WATCH", "^/api/v1/pods$", Answer(500))
    world.super.script.add("POST", "/pods$", Cut(done=True))
    again = world.super.script.add("POST", "/pods$", Hang())
    await world.super.start()
    acme.server.create(PODS, a_pod())
    await eventually(lambda: again.hits, "the creation is tried again")
    acme.start_pod(WEB)
    again.remove()
    await eventually(
        lambda: world.super.script.calls("GET", "pods", ""), "it finds that it is there"
    )
    blind.remove()
    await acme.shows(WEB, "Running")


async def test_a_webhook_of_the_super_cluster_that_is_away_is_told_without_its_address(
    world: World, acme: TenantCluster
) -> None:
    message = 'failed calling webhook "x": Post "https://10.0.0.7:1/": connection refused'
    away = world.super.script.add_for_good("POST", "/pods$", Answer(500, "InternalError", message))
    acme.server.create(PODS, a_pod())
    event = await acme.told("FailedMirror")
    assert "webhook of the super cluster does not answer" in event["message"]
    assert "10.0.0.7" not in event["message"]
    away.remove()
    await acme.runs(WEB)


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
    acme.server.script.add("LIST", "^/api/v1/pods$", _empty_list(acme.server), times=2)
    await world.start_syncer()
    acme.server.create(PODS, a_pod("after"))
    await acme.goes_down(PODS, ObjectKey("default", "after"))
    assert (acme.server.live(PODS, WEB), acme.mirror(PODS, WEB)) == before


@pytest.mark.parametrize("kind", ["namespaces", "services"])
async def test_law_6_a_list_of_any_kind_that_wrongly_is_empty_deletes_nothing(
    world: World, acme: TenantCluster, kind: str
) -> None:
    acme.server.create(SERVICES, a_service(clusterIP="10.101.5.20"))
    await acme.goes_down(SERVICES, WEB)
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    await world.kill_syncer()
    acme.server.script.add("LIST", f"^/api/v1/{kind}$", _empty_list(acme.server))
    await world.start_syncer()
    acme.server.create(NAMESPACES, a_namespace("after"))
    after = ObjectKey("", api.super_namespace(acme.tenant.key, "after"))
    await eventually(lambda: world.super.get(NAMESPACES, after), "a later object is down")
    assert not [call for call in world.super.script.calls("DELETE") if call.plural == kind]
    assert acme.mirror(PODS, WEB)
    assert acme.mirror(SERVICES, WEB)


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
        if obj["metadata"].get("namespace") != Settings().namespace  # who mirrors whom
    ]


@pytest.mark.parametrize("caught_up", [False, True], ids=["fewer versions", "more versions"])
async def test_law_5_a_tenants_server_restored_from_a_backup_is_mirrored_from_scratch(
    world: World, acme: TenantCluster, caught_up: bool
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    backup = acme.server.verbs.storage.backup()
    below = acme.mirror(PODS, WEB)
    for number in range(20):
        acme.server.patch(PODS, WEB, {"metadata": {"labels": {"since": str(number)}}})
    acme.server.create(PODS, a_pod("since"))
    await acme.goes_down(PODS, ObjectKey("default", "since"))
    await eventually(lambda: _label(acme) == "19", "the last label is down")
    await acme.server.stop()
    acme.server.verbs.storage.restore(backup)
    if caught_up:
        for number in range(40):
            acme.server.create(CONFIG_MAPS, a_config_map(f"new-{number}"))
        acme.server.compact()  # as its restart does: a watch cache begins at the newest version
    await acme.server.start()
    acme.server.create(PODS, a_pod("after"))
    await acme.runs(ObjectKey("default", "after"))
    await eventually(lambda: _label(acme) is None, "what was changed since the backup never was")
    await eventually(
        lambda: acme.mirror(PODS, ObjectKey("default", "since")) is None,
        "what was created since the backup goes",
    )
    assert acme.server.live(PODS, WEB)["status"]["phase"] == "Running"
    now = acme.mirror(PODS, WEB)
    assert now is not None
    assert below is not None
    assert now["metadata"]["uid"] == below["metadata"]["uid"], "it ran on"


async def test_law_5_a_syncer_ends_when_the_super_cluster_is_restored_from_a_backup(
    world: World, acme: TenantCluster
) -> None:
    """And the next one begins from scratch: all that this one knows is void."""
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    backup = world.super.verbs.storage.backup()
    acme.server.create(PODS, a_pod("since"))
    await acme.runs(ObjectKey("default", "since"))
    await world.super.stop()
    world.super.verbs.storage.restore(backup)
    await world.super.start()
    syncer = world.syncers.pop("syncer")
    with pytest.raises(ExceptionGroup) as caught:
        await syncer.running
    assert history_lost(caught.value)
    await world.start_syncer()
    await eventually(
        lambda: acme.server.get(PODS, ObjectKey("default", "since")) is None, "it failed"
    )
    acme.server.create(PODS, a_pod("after"))
    await acme.runs(ObjectKey("default", "after"))
    assert acme.server.live(PODS, WEB)["status"]["phase"] == "Running"


def _label(cluster: TenantCluster) -> str | None:
    mirror = cluster.mirror(PODS, WEB) or {"metadata": {}}
    value: str | None = mirror["metadata"].get("labels", {}).get("since")
    return value
