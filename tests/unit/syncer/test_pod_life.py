"""The life of a pod, from the tenant's creation to its end on both sides."""

import pytest

from kube.objects import ObjectKey
from kube.resources import NAMESPACES, NODES, PODS
from syncer import metrics
from tests.builders import a_namespace, a_pod, with_metadata
from tests.fakes.storage import Table
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")
NODE = ObjectKey("", "node-1")


async def test_a_pod_goes_down_into_a_namespace_of_its_tenant_under_its_own_name(
    acme: TenantCluster,
) -> None:
    pod = acme.server.create(PODS, a_pod())
    mirror = await acme.goes_down(PODS, WEB)
    assert mirror["metadata"]["name"] == "web"
    assert mirror["metadata"]["labels"][api.TENANT_LABEL] == acme.tenant.key
    assert mirror["metadata"]["annotations"][api.UID_ANNOTATION] == pod["metadata"]["uid"]
    assert mirror["metadata"]["annotations"][api.NAMESPACE_ANNOTATION] == "default"


async def test_fields_that_the_syncer_does_not_know_go_down_and_up(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod(fieldOfTheFuture={"a": [1, {"b": None}]}))
    mirror = await acme.goes_down(PODS, WEB)
    assert mirror["spec"]["fieldOfTheFuture"] == {"a": [1, {"b": None}]}
    acme.start_pod(WEB)
    status = {"status": {"statusOfTheFuture": [{"deep": "value"}]}}
    world.super.patch(PODS, acme.mirror_key(WEB), status, "status")
    await eventually(
        lambda: (
            acme.server.live(PODS, WEB)["status"].get("statusOfTheFuture") == [{"deep": "value"}]
        ),
        "the unknown part of the status is up",
    )


async def test_the_node_is_there_before_the_pod_is_bound_to_it(acme: TenantCluster) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    pod = acme.server.live(PODS, WEB)
    assert pod["spec"]["nodeName"] == "node-1"
    node = acme.server.live(NODES, ObjectKey("", "node-1"))
    assert int(node["metadata"]["resourceVersion"]) < int(pod["metadata"]["resourceVersion"])


async def test_a_change_of_labels_goes_down_and_what_others_added_stays(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, with_metadata(a_pod(), labels={"app": "old", "drop": "me"}))
    await acme.runs(WEB)
    added = {"metadata": {"labels": {"of-a-webhook": "yes"}}}
    world.super.patch(PODS, acme.mirror_key(WEB), added)
    change = {"metadata": {"labels": {"app": "new", "drop": None}}}
    acme.server.patch(PODS, WEB, change)

    def labels() -> dict[str, str]:
        found: dict[str, str] = world.super.live(PODS, acme.mirror_key(WEB))["metadata"]["labels"]
        return found

    await eventually(lambda: labels()["app"] == "new", "the new label is down")
    assert labels()["of-a-webhook"] == "yes"
    assert "drop" not in labels()


async def test_a_change_of_the_image_goes_down(world: World, acme: TenantCluster) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    pod = acme.server.live(PODS, WEB)
    containers = [pod["spec"]["containers"][0] | {"image": "example.com/main:2"}]
    acme.server.patch(PODS, WEB, {"spec": {"containers": containers}})
    await eventually(
        lambda: (
            world.super.live(PODS, acme.mirror_key(WEB))["spec"]["containers"][0]["image"]
            == "example.com/main:2"
        ),
        "the new image is down",
    )


async def test_deletion_lets_the_super_pod_end_in_its_time_and_then_ends_the_tenants(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    acme.server.delete(PODS, WEB, grace=11)
    mirror = await eventually(
        lambda: (
            (found := world.super.live(PODS, acme.mirror_key(WEB)))["metadata"].get(
                "deletionTimestamp"
            )
            and found
        ),
        "the super pod is terminating",
    )
    assert mirror["metadata"]["deletionGracePeriodSeconds"] == 11
    assert acme.server.get(PODS, WEB), "not before the kubelet has ended it"
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)


async def test_the_last_status_is_up_before_the_pod_is_removed(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    acme.server.delete(PODS, WEB, grace=30)
    ended = {"phase": "Failed", "containerStatuses": [{"name": "main", "exitCode": 137}]}
    world.super.patch(PODS, acme.mirror_key(WEB), {"status": ended}, "status")
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)
    last = acme.server.verbs.storage.changes(_pods_table(), 0)[-1]
    assert last.removed
    assert last.after["status"]["containerStatuses"] == ended["containerStatuses"]


async def test_a_pod_that_a_finalizer_holds_says_how_it_ended(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, with_metadata(a_pod(), finalizers=["example.com/hold"]))
    await acme.runs(WEB)
    acme.server.delete(PODS, WEB, grace=0)
    await has_left(world, acme, 1)
    ended = {"phase": "Failed", "containerStatuses": [{"name": "main", "exitCode": 1}]}
    world.super.patch(PODS, acme.mirror_key(WEB), {"status": ended}, "status")
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await eventually(
        lambda: acme.server.live(PODS, WEB)["status"]["phase"] == "Failed", "its end is told"
    )
    acme.server.patch(PODS, WEB, {"metadata": {"finalizers": None}})
    await acme.gone_everywhere(PODS, WEB)


@pytest.mark.parametrize("ending", [True, False], ids=["is ending", "runs as far as one knows"])
@pytest.mark.parametrize("another", [True, False], ids=["replaced", "not replaced"])
@pytest.mark.parametrize("known", [True, False], ids=["known before", "known after"])
async def test_a_pod_forced_away_from_a_silent_node_frees_its_name(
    world: World, acme: TenantCluster, ending: bool, another: bool, known: bool
) -> None:
    """No kubelet is there to confirm an end; the tenant has said that it waits for none."""
    silence = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    if known:
        world.super.patch(NODES, NODE, silence, "status")
    if ending:
        acme.server.delete(PODS, WEB, grace=30)
        await has_left(world, acme, 30)
    acme.server.delete(PODS, WEB, grace=0)
    uid = acme.server.create(PODS, a_pod())["metadata"]["uid"] if another else ""
    if not known:
        await has_left(world, acme, 30)
        world.super.patch(NODES, NODE, silence, "status")
    if not another:
        await acme.gone_everywhere(PODS, WEB)
        return
    await eventually(
        lambda: (
            (found := world.super.get(PODS, acme.mirror_key(WEB))) is not None
            and found["metadata"]["annotations"][api.UID_ANNOTATION] == uid
        ),
        "the new one is down",
    )


async def test_a_pod_forced_away_from_a_node_that_answers_has_its_time(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod(terminationGracePeriodSeconds=17))
    await acme.runs(WEB)
    acme.server.delete(PODS, WEB, grace=0)
    await has_left(world, acme, 17)


async def has_left(world: World, acme: TenantCluster, seconds: int) -> None:
    """The kubelet is asked to end the pod in this time."""

    def left() -> bool:
        metadata = world.super.live(PODS, acme.mirror_key(WEB))["metadata"]
        return bool(metadata.get("deletionGracePeriodSeconds") == seconds)

    await eventually(left, f"the super pod has {seconds} s left")


async def test_a_pod_deleted_before_it_had_a_node_goes_at_once(acme: TenantCluster) -> None:
    acme.server.create(PODS, a_pod())
    await acme.goes_down(PODS, WEB)
    acme.server.delete(PODS, WEB)
    await acme.gone_everywhere(PODS, WEB)
    assert not acme.server.script.calls("GET", "pods"), "its deletion was seen: no need to look"


async def test_a_pod_that_the_super_cluster_removes_fails_and_is_never_made_anew(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)
    last = acme.server.verbs.storage.changes(_pods_table(), 0)[-1].after
    assert last["status"]["phase"] == "Failed"
    assert "DisruptionTarget" in [c["type"] for c in last["status"]["conditions"]]
    assert len(world.super.script.calls("POST", "pods", "")) == 1


async def test_a_pod_that_is_evicted_below_terminates_above(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    world.super.delete(PODS, acme.mirror_key(WEB), grace=9)
    await eventually(
        lambda: "deletionTimestamp" in acme.server.live(PODS, WEB)["metadata"],
        "the tenant's pod is terminating",
    )
    assert acme.server.live(PODS, WEB)["metadata"]["deletionGracePeriodSeconds"] == 9
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)


async def test_a_pod_that_is_replaced_under_the_same_name_is_a_new_pod_below(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    first = await acme.goes_down(PODS, WEB)
    acme.server.delete(PODS, WEB)
    new = acme.server.create(PODS, a_pod())

    def replaced() -> bool:
        mirror = world.super.get(PODS, acme.mirror_key(WEB))
        marks = mirror["metadata"]["annotations"] if mirror else {}
        return bool(marks.get(api.UID_ANNOTATION) == new["metadata"]["uid"])

    await eventually(replaced, "the super pod is the new one's mirror")
    mirror = world.super.live(PODS, acme.mirror_key(WEB))
    assert mirror["metadata"]["uid"] != first["metadata"]["uid"]


async def test_a_pod_costs_its_budget_of_calls_and_no_reads(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod("warm-up"))
    await acme.runs(ObjectKey("default", "warm-up"))
    await world.nothing_to_do()
    world.super.script.log.clear()
    acme.server.script.log.clear()
    before = _looks()
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    acme.server.delete(PODS, WEB)
    await eventually(
        lambda: "deletionTimestamp" in world.super.live(PODS, acme.mirror_key(WEB))["metadata"],
        "the super pod is terminating",
    )
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)

    def spent(cluster: TenantCluster | World) -> list[tuple[str, str, str]]:
        server = cluster.super if isinstance(cluster, World) else cluster.server
        return [
            (call.verb, call.plural, call.subresource)
            for call in server.script.calls()
            # Not the condition, nor what a member renews by the clock.
            if call.plural not in ("virtualclusters", "leases")
        ]

    assert spent(world) == [("POST", "pods", ""), ("DELETE", "pods", "")]
    calls = spent(acme)
    assert calls[0] == ("POST", "pods", "binding")
    assert calls[-1] == ("DELETE", "pods", "")
    assert set(calls[1:-1]) <= {("PATCH", "pods", "status")}
    assert len(calls) <= 5
    await eventually(lambda: _looks()["down"] == before["down"] + 3, "the end is seen downward")
    # Down: creation, deletion, end. Up: node and status (maybe apart), end.
    assert _looks()["up"] - before["up"] <= 3


async def test_a_namespace_that_is_deleted_takes_its_pods_along(
    world: World, acme: TenantCluster
) -> None:
    key = ObjectKey("shop", "web")
    acme.server.create(NAMESPACES, a_namespace("shop"))
    acme.server.create(PODS, a_pod(namespace="shop"))
    await acme.runs(key)
    acme.server.delete(NAMESPACES, ObjectKey("", "shop"))
    await eventually(
        lambda: "deletionTimestamp" in world.super.live(PODS, acme.mirror_key(key))["metadata"],
        "the super pod is terminating",
    )
    world.super.delete(PODS, acme.mirror_key(key), grace=0)
    super_name = api.super_namespace(acme.tenant.key, "shop")
    await eventually(
        lambda: (
            not acme.server.get(NAMESPACES, ObjectKey("", "shop"))
            and not world.super.get(NAMESPACES, ObjectKey("", super_name))
        ),
        "the namespace is gone on both sides",
    )


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_has_ended_stays_until_it_is_deleted(
    world: World, acme: TenantCluster, phase: str
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    world.super.patch(PODS, acme.mirror_key(WEB), {"status": {"phase": phase}}, "status")
    await acme.shows(WEB, phase)
    assert acme.mirror(PODS, WEB)
    acme.server.delete(PODS, WEB)
    await acme.gone_everywhere(PODS, WEB)


def _looks() -> dict[str, float]:
    """How often pods were looked at, by direction."""
    return {
        direction: sum(
            sample.value
            for family in metrics.RECONCILIATIONS.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
            and (sample.labels["direction"], sample.labels["kind"]) == (direction, "pods")
        )
        for direction in ("down", "up")
    }


def _pods_table() -> Table:
    return Table("", "pods")
