"""Pods that the tenant's policy refuses: told, counted, and looked at again when something changes."""

from typing import Any

from kube.objects import Object, ObjectKey
from kube.resources import EVENTS, PODS, RUNTIME_CLASSES
from syncer import metrics
from syncer.tenants import VIRTUAL_CLUSTERS
from tests.builders import a_pod
from tests.fakes.status import forbidden
from tests.fakes.targets import Target
from tests.fakes.waiting import eventually
from tests.unit.syncer.test_pod_changes import DEBUG, WEB, all_else_is_done, below
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

PRIVILEGED = {"securityContext": {"privileged": True}}


def mighty(**spec: Any) -> Object:
    main = {"name": "main", "image": "example.com/main:1"} | PRIVILEGED
    return a_pod(containers=[main], **spec)


def refusal(acme: TenantCluster, key: ObjectKey = WEB) -> Object | None:
    """The condition Refused of the tenant's pod."""
    conditions = acme.server.live(PODS, key).get("status", {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] == api.REFUSED_CONDITION), None)


async def refused(acme: TenantCluster, key: ObjectKey = WEB) -> Object:
    return await eventually(lambda: refusal(acme, key), f"{key} is refused")


def told(acme: TenantCluster, reason: str) -> list[str]:
    return [event["message"] for event in acme.server.objects(EVENTS) if event["reason"] == reason]


async def change_policy(world: World, acme: TenantCluster, **policy: Any) -> None:
    """Do what the operator does when the spec or the class changes; the syncer knows it."""

    def lists() -> int:
        return sum((call.verb, call.plural) == ("LIST", "pods") for call in acme.server.script.log)

    before = lists()
    status = {"status": {"effective": {"policy": policy, "scheduling": {"weight": 1}}}}
    key = ObjectKey("tenants", acme.tenant.name)
    world.super.patch(VIRTUAL_CLUSTERS, key, status, "status")
    await eventually(lambda: lists() > before, "the tenant's session has begun anew")


async def test_a_refusal_is_an_event_a_condition_and_a_count(
    world: World, acme: TenantCluster
) -> None:
    labels = {"reason": "PodSecurity"}
    before = metrics.REGISTRY.get_sample_value("syncer_refused_total", labels) or 0
    acme.server.create(PODS, mighty())
    condition = await refused(acme)
    await world.nothing_to_do()
    assert (condition["status"], condition["reason"]) == ("True", "PodSecurity")
    assert "spec.containers[main].securityContext.privileged" in condition["message"]
    assert told(acme, "PodSecurity") == [condition["message"]]
    assert metrics.REGISTRY.get_sample_value("syncer_refused_total", labels) == before + 1
    assert acme.mirror(PODS, WEB) is None

    # It is not tried again for nothing, neither now nor after a restart.
    await all_else_is_done(acme)
    await world.kill_syncer()
    await world.start_syncer()
    acme.server.create(PODS, a_pod("later"))
    await acme.goes_down(PODS, ObjectKey("default", "later"))
    assert refusal(acme) == condition
    writes = [
        call for call in acme.server.script.log if (call.verb, call.name) == ("PATCH", WEB.name)
    ]
    assert len(writes) == 1


async def test_a_policy_that_is_loosened_lets_a_refused_pod_go_down(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, mighty())
    await refused(acme)
    await change_policy(world, acme, podSecurity="privileged")
    await acme.goes_down(PODS, WEB)
    await eventually(lambda: refusal(acme) is None, "the condition is gone")


async def test_a_policy_that_is_tightened_leaves_running_pods_alone(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    before = below(world, acme)
    await change_policy(world, acme, podSecurity="baseline", registries=["ghcr.io"])
    other = ObjectKey("default", "other")
    acme.server.create(PODS, a_pod("other"))
    assert (await refused(acme, other))["reason"] == "ImageNotAllowed"
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"a": "b"}}})

    def labels() -> Object:
        found: Object = below(world, acme)["metadata"]["labels"]
        return found

    await eventually(lambda: labels().get("a") == "b", "its labels still go down")
    assert below(world, acme)["spec"] == before["spec"]
    acme.server.patch(PODS, WEB, {"spec": {"containers": [DEBUG | {"name": "main"}]}})
    await acme.told("ImageNotAllowed")
    assert below(world, acme)["spec"] == before["spec"]


async def test_a_debug_container_that_is_refused_holds_up_no_other_change(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod())
    await acme.runs(WEB)
    change: Object = {"spec": {"ephemeralContainers": [DEBUG | PRIVILEGED]}}
    acme.server.patch(PODS, WEB, change, "ephemeralcontainers")
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"a": "b"}}})
    event = await acme.told("PodSecurity")
    assert "spec.ephemeralContainers[debug].securityContext.privileged" in event["message"]
    await eventually(
        lambda: below(world, acme)["metadata"]["labels"].get("a") == "b", "the label is down"
    )
    assert "ephemeralContainers" not in below(world, acme)["spec"]


async def test_a_class_that_is_offered_later_lets_a_refused_pod_go_down(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(PODS, a_pod(runtimeClassName="gvisor"))
    assert (await refused(acme))["reason"] == "NotOffered"
    metadata = {"name": "gvisor", "labels": {api.PUBLIC_LABEL: "true"}}
    world.super.create(RUNTIME_CLASSES, {"metadata": metadata, "handler": "runsc"})
    await acme.goes_down(PODS, WEB)


async def test_what_the_super_cluster_itself_refuses_is_a_condition_until_it_goes_down(
    world: World, acme: TenantCluster
) -> None:
    full = [True]

    def admit(target: Target, obj: Object) -> None:
        if full and target.plural == "pods":
            raise forbidden("pods", target.name, "exceeded quota")

    world.super.verbs.admission.append(admit)
    acme.server.create(PODS, a_pod())
    condition = await refused(acme)
    assert (condition["reason"], "quota" in condition["message"]) == ("FailedMirror", True)
    full.clear()
    await acme.goes_down(PODS, WEB)
    await eventually(lambda: refusal(acme) is None, "the condition is gone")
