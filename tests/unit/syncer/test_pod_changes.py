"""What changes on a pod that runs: updates on their way down, evictions, odd moments."""

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import CONFIG_MAPS, EVENTS, PODS, SECRETS, SERVICE_ACCOUNTS
from tests.builders import a_config_map, a_pod, with_metadata
from tests.fakes.faults import Answer, Slow
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import RUNNING, TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")
AFTER = ObjectKey("default", "after")
EMPTY_LIST = b'{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"9999"},"items":[]}'
DEBUG = {"name": "debug", "image": "example.com/debug:1"}


async def all_else_is_done(acme: TenantCluster) -> None:
    """A pod that is created last goes down: what was asked for before has been looked at."""
    acme.server.create(PODS, a_pod("after"))
    await acme.goes_down(PODS, AFTER)


def below(world: World, acme: TenantCluster, key: ObjectKey = WEB) -> Object:
    return world.super.live(PODS, acme.mirror_key(key))


# Updates.


async def test_a_gate_that_the_tenant_removes_goes_and_one_of_the_super_cluster_stays(
    world: World, acme: TenantCluster
) -> None:
    def admit(target: object, obj: Object) -> None:
        obj["spec"].setdefault("schedulingGates", []).append({"name": "kueue.x-k8s.io/topology"})

    acme.server.create(PODS, a_pod("first"))
    await acme.goes_down(PODS, ObjectKey("default", "first"))
    world.super.verbs.admission.append(admit)
    acme.server.create(PODS, a_pod(schedulingGates=[{"name": "a/mine"}, {"name": "a/other"}]))
    await acme.goes_down(PODS, WEB)
    acme.server.patch(PODS, WEB, {"spec": {"schedulingGates": [{"name": "a/other"}]}})

    def gates() -> list[str]:
        return [gate["name"] for gate in below(world, acme)["spec"]["schedulingGates"]]

    expected = ["a/other", "kueue.x-k8s.io/topology"]
    await eventually(lambda: gates() == expected, "one gate is gone, and the others are there")
    acme.server.patch(PODS, WEB, {"spec": {"schedulingGates": None}})
    await eventually(lambda: gates() == expected[1:], "both of the tenant's gates are gone")


async def test_a_resize_and_a_debug_container_go_down_by_their_subresources(
    world: World, acme: TenantCluster
) -> None:
    resources = {"requests": {"cpu": "1"}}
    container = {"name": "main", "image": "example.com/main:1", "resources": resources}
    acme.server.create(PODS, a_pod(containers=[container]))
    await acme.runs(WEB)
    more = container | {"resources": {"requests": {"cpu": "2"}}}
    acme.server.patch(PODS, WEB, {"spec": {"containers": [more]}}, "resize")
    acme.server.patch(PODS, WEB, {"spec": {"ephemeralContainers": [DEBUG]}}, "ephemeralcontainers")

    def arrived() -> bool:
        spec = below(world, acme)["spec"]
        debug = [item["name"] for item in spec.get("ephemeralContainers", ())]
        return (spec["containers"][0]["resources"], debug) == (more["resources"], ["debug"])

    await eventually(arrived, "the resize and the debug container are down")


async def test_a_debug_container_that_came_before_the_pod_went_down_is_not_lost(
    world: World, acme: TenantCluster
) -> None:
    volume = {"name": "v", "configMap": {"name": "settings"}}
    acme.server.create(PODS, a_pod(volumes=[volume]))
    await acme.told("FailedMount")
    acme.server.patch(PODS, WEB, {"spec": {"ephemeralContainers": [DEBUG]}}, "ephemeralcontainers")
    acme.server.create(CONFIG_MAPS, a_config_map())
    await acme.goes_down(PODS, WEB)
    await eventually(
        lambda: below(world, acme)["spec"].get("ephemeralContainers"), "the debug container is down"
    )


async def test_a_part_that_is_refused_does_not_hold_up_the_rest_and_is_tried_again(
    world: World, acme: TenantCluster
) -> None:
    container = {"name": "main", "image": "example.com/main:1"}
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    refusal = Answer(422, "Invalid", "no room for a resize")
    fault = world.super.script.add_for_good("PATCH", "/resize$", refusal)
    more = container | {"resources": {"requests": {"cpu": "2"}}}
    acme.server.patch(PODS, WEB, {"spec": {"containers": [more]}}, "resize")
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"app": "new"}}})
    await eventually(
        lambda: below(world, acme)["metadata"]["labels"].get("app") == "new", "the label is down"
    )
    event = await acme.told("FailedMirror")
    assert "no room for a resize" in event["message"]
    attempts = len(world.super.script.calls("PATCH", "pods", "resize"))
    await eventually(
        lambda: len(world.super.script.calls("PATCH", "pods", "resize")) > attempts,
        "the resize is tried again",
    )
    fault.remove()
    await eventually(
        lambda: below(world, acme)["spec"]["containers"][0].get("resources") == more["resources"],
        "the resize is down",
    )


async def test_the_tenants_readiness_gate_goes_down_and_survives_the_kubelets_status(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod(readinessGates=[{"conditionType": "a/warm"}]))
    await acme.runs(WEB)
    own = {"type": "a/warm", "status": "True"}
    conditions = [*acme.server.live(PODS, WEB)["status"]["conditions"], own]
    acme.server.patch(PODS, WEB, {"status": {"conditions": conditions}}, "status")
    await eventually(
        lambda: own in below(world, acme)["status"]["conditions"], "the kubelet can see it"
    )
    world.super.patch(PODS, acme.mirror_key(WEB), {"status": RUNNING | {"podIP": "1"}}, "status")
    await eventually(
        lambda: acme.server.live(PODS, WEB)["status"]["podIP"] == "1", "the new status is up"
    )
    assert own in acme.server.live(PODS, WEB)["status"]["conditions"]


# Evictions.


async def test_an_eviction_in_the_tenant_stays_visible_to_the_pods_owner(
    world: World, acme: TenantCluster
) -> None:
    """A Job's failure policy asks for the condition that the eviction API has set."""
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    evicted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    conditions = [*acme.server.live(PODS, WEB)["status"]["conditions"], evicted]
    acme.server.patch(PODS, WEB, {"status": {"conditions": conditions}}, "status")
    acme.server.delete(PODS, WEB, grace=30)
    await eventually(lambda: "deletionTimestamp" in below(world, acme)["metadata"], "it ends below")
    ended = {"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]}
    world.super.patch(PODS, acme.mirror_key(WEB), {"status": ended}, "status")
    pod = await acme.shows(WEB, "Failed")
    assert evicted in pod["status"]["conditions"]
    assert {"type": "Ready", "status": "False"} in pod["status"]["conditions"]


async def test_a_pod_that_never_ran_and_that_the_tenant_calls_failed_is_left_to_the_tenant(
    acme: TenantCluster,
) -> None:
    acme.server.create(PODS, a_pod(runtimeClassName="kata"))
    await acme.told("NotOffered")
    acme.server.patch(PODS, WEB, {"status": {"phase": "Failed"}}, "status")
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"a": "b"}}})
    await all_else_is_done(acme)
    await acme.runs(AFTER)  # and what goes up, too
    assert acme.server.get(PODS, WEB)
    assert not acme.mirror(PODS, WEB)


async def test_a_last_status_that_the_tenant_refuses_leaves_no_pod_terminating(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    acme.server.delete(PODS, WEB, grace=30)
    await eventually(lambda: "deletionTimestamp" in below(world, acme)["metadata"], "it ends below")
    refusal = Answer(422, "Invalid", "status.containerStatuses: may not go back")
    acme.server.script.add_for_good("PATCH", "/pods/web/status$", refusal)
    world.super.patch(PODS, acme.mirror_key(WEB), {"status": {"phase": "Failed"}}, "status")
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)


# Odd moments.


async def test_what_a_pod_waits_for_may_come_while_the_tenant_is_being_told(
    acme: TenantCluster,
) -> None:
    acme.server.script.add("POST", "/events$", Slow(0.5))
    acme.server.create(PODS, a_pod("slow", volumes=[{"name": "v", "configMap": {"name": "c"}}]))
    await eventually(lambda: acme.server.script.calls("POST", "events"), "the tenant is being told")
    acme.server.create(CONFIG_MAPS, a_config_map("c"))
    await acme.goes_down(CONFIG_MAPS, ObjectKey("default", "c"))
    await acme.goes_down(PODS, ObjectKey("default", "slow"))


async def test_a_pod_that_waited_is_not_read_again(acme: TenantCluster) -> None:
    acme.server.create(PODS, a_pod(volumes=[{"name": "v", "configMap": {"name": "settings"}}]))
    await acme.told("FailedMount")
    acme.server.create(CONFIG_MAPS, a_config_map())
    await acme.goes_down(PODS, WEB)
    assert not acme.server.script.calls("GET", "pods")


async def test_a_pod_that_no_longer_can_be_read_does_not_stop_a_restart(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod("broken"))
    await acme.goes_down(PODS, ObjectKey("default", "broken"))
    await world.kill_syncer()
    broken = acme.server.live(PODS, ObjectKey("default", "broken")) | {"spec": "not a spec"}
    table = next(
        t for t, _ in acme.server.verbs.storage.in_namespace("default") if t.plural == "pods"
    )
    acme.server.verbs.storage.write(table, ObjectKey("default", "broken"), broken)
    await world.start_syncer()
    await all_else_is_done(acme)
    assert acme.mirror(PODS, ObjectKey("default", "broken")), "absence is no deletion"


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
async def test_a_super_list_that_wrongly_is_empty_costs_a_look_and_loses_no_status(
    world: World, acme: TenantCluster, phase: str
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    await world.kill_syncer()
    news = {"status": RUNNING | {"phase": phase, "podIP": "10.244.9.9"}}
    world.super.patch(PODS, acme.mirror_key(WEB), news, "status")
    world.super.script.log.clear()
    world.super.script.add("LIST", "^/api/v1/pods$", Answer(200, body=EMPTY_LIST), times=2)
    await world.start_syncer()
    await eventually(
        lambda: acme.server.live(PODS, WEB)["status"]["podIP"] == "10.244.9.9", "the news are up"
    )
    await all_else_is_done(acme)
    assert len(world.super.script.calls("GET", "pods")) <= 3
    assert acme.mirror(PODS, WEB)


async def test_the_token_of_a_pod_goes_when_another_pod_takes_its_name(
    world: World, acme: TenantCluster
) -> None:
    account = {"metadata": {"name": "default", "namespace": "default"}}
    acme.server.create(SERVICE_ACCOUNTS, account)
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    pod = a_pod(volumes=[{"name": "v", "projected": {"sources": [source]}}])

    def tokens_of() -> list[str]:
        secrets = world.super.objects(SECRETS, acme.mirror_key(WEB).namespace)
        return [secret["metadata"]["annotations"][api.UID_ANNOTATION] for secret in secrets]

    first = acme.server.create(PODS, pod)
    await acme.runs(WEB)
    await eventually(lambda: tokens_of() == [first["metadata"]["uid"]], "it has its token")
    acme.server.delete(PODS, WEB, grace=0)
    second = acme.server.create(PODS, pod)
    await eventually(lambda: "deletionTimestamp" in below(world, acme)["metadata"], "it ends below")
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.runs(WEB)
    await eventually(
        lambda: tokens_of() == [second["metadata"]["uid"]], "only the new pod's token is there"
    )


async def test_a_pod_that_is_refused_for_long_asks_for_one_token_only(
    world: World, acme: TenantCluster
) -> None:
    account = {"metadata": {"name": "default", "namespace": "default"}}
    acme.server.create(SERVICE_ACCOUNTS, account)
    world.super.script.add("POST", "/pods$", Answer(403, "Forbidden", "exceeded quota"), times=3)
    source = {"serviceAccountToken": {"path": "token"}}
    acme.server.create(PODS, a_pod(volumes=[{"name": "v", "projected": {"sources": [source]}}]))
    await acme.goes_down(PODS, WEB)
    await acme.runs(WEB)
    await eventually(lambda: world.super.script.calls("POST", "secrets"), "it has its token")
    assert len(acme.server.script.calls("POST", "serviceaccounts", "token")) == 1
    assert len(world.super.script.calls("POST", "secrets")) == 1


async def test_a_mark_that_a_tenant_adds_later_is_refused_aloud(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, with_metadata(a_pod(), labels={"app": "a"}))
    await acme.runs(WEB)
    stolen = {"metadata": {"labels": {"app": "b", api.TENANT_LABEL: "other-0a1b2c3d"}}}
    acme.server.patch(PODS, WEB, stolen)
    event = await acme.told("ReservedKey")
    assert event["involvedObject"]["name"] == "web"
    assert below(world, acme)["metadata"]["labels"][api.TENANT_LABEL] == acme.tenant.key
    assert not [e for e in acme.server.objects(EVENTS) if acme.tenant.key in str(e["message"])]
