"""RuntimeClasses of a tenant's own: by their handler, with a sentence where that is not offered."""

from kube.objects import Object, ObjectKey
from kube.resources import EVENTS, PODS, RUNTIME_CLASSES
from tests.builders import a_pod
from tests.fakes.waiting import eventually
from tests.unit.syncer.test_pod_changes import WEB, all_else_is_done, below
from tests.unit.syncer.test_policy import refusal, refused, told
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

HANDLERS = {"gvisor": "runsc", "nvidia": "nvidia"}


def a_class(name: str, handler: str, *, public: bool = False) -> Object:
    labels = {api.PUBLIC_LABEL: "true"} if public else {}
    return {"metadata": {"name": name, "labels": labels}, "handler": handler}


def offer(world: World, *, ours: bool = True) -> None:
    """What the provider has; ``ours``: the class of the chart too."""
    for name, handler in HANDLERS.items():
        world.super.create(RUNTIME_CLASSES, a_class(name, handler, public=True))
    world.super.create(RUNTIME_CLASSES, a_class("secret", "privileged"))
    if ours:
        none = api.NOT_OFFERED_RUNTIME_CLASS
        world.super.create(RUNTIME_CLASSES, a_class(none, api.NOT_OFFERED_HANDLER))


async def class_below(acme: TenantCluster, key: ObjectKey = WEB) -> str:
    pod = await acme.goes_down(PODS, key)
    return str(pod["spec"].get("runtimeClassName", ""))


def known(acme: TenantCluster, name: str, handler: str) -> None:
    acme.server.create(RUNTIME_CLASSES, a_class(name, handler))


async def test_a_class_of_the_tenants_own_gets_the_providers_of_the_same_handler(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    known(acme, "mine", "runsc")
    acme.server.create(PODS, a_pod(runtimeClassName="mine", overhead={"cpu": "3"}))
    assert await class_below(acme) == "gvisor"
    assert "overhead" not in below(world, acme)["spec"]
    await acme.runs(WEB)
    shown = acme.server.live(PODS, WEB)["spec"]
    assert (shown["runtimeClassName"], shown["overhead"]) == ("mine", {"cpu": "3"})
    assert not told(acme, "NotOffered")


async def test_a_handler_that_nobody_offers_waits_under_one_that_no_node_has(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    known(acme, "mine", "privileged")
    acme.server.create(PODS, a_pod(runtimeClassName="mine"))
    assert await class_below(acme) == api.NOT_OFFERED_RUNTIME_CLASS
    event = await acme.told("NotOffered")
    assert event["type"] == "Warning"
    assert event["message"] == (
        "spec.runtimeClassName: the handler 'privileged' of 'mine' is not offered here; "
        "offered, by class (handler): gvisor (runsc), nvidia (nvidia); "
        "the pod waits on its node and does not run"
    )
    assert refusal(acme) is None, "it is not refused: it is on its way to a node"


async def test_the_kubelets_words_name_the_tenants_handler(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    known(acme, "mine", "kata")
    acme.server.create(PODS, a_pod(runtimeClassName="mine"))
    mirror = await acme.goes_down(PODS, WEB)
    words = 'no runtime for "virtualcluster-not-offered" is configured'
    involved = {"kind": "Pod", "uid": mirror["metadata"]["uid"]} | acme.mirror_key(WEB)._asdict()
    event = {
        "metadata": {"name": "web.1", "namespace": mirror["metadata"]["namespace"]},
        "involvedObject": involved,
        "reason": "FailedCreatePodSandBox",
        "message": words,
    }
    world.super.create(EVENTS, event)
    seen = await acme.told("FailedCreatePodSandBox")
    assert seen["message"] == 'no runtime for "kata" is configured'


async def test_it_is_told_once_and_again_only_if_nobody_heard(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    known(acme, "mine", "kata")
    acme.server.create(PODS, a_pod(runtimeClassName="mine"))
    await acme.told("NotOffered")
    await world.nothing_to_do()
    await world.kill_syncer()
    for event in acme.server.objects(EVENTS):
        acme.server.delete(EVENTS, ObjectKey("default", event["metadata"]["name"]))
    await world.start_syncer()
    await acme.told("NotOffered")
    await all_else_is_done(acme)
    assert len(told(acme, "NotOffered")) == 1


async def test_a_class_that_is_made_or_offered_later_lets_the_pod_go_down(
    world: World, acme: TenantCluster
) -> None:
    offer(world, ours=False)
    acme.server.create(PODS, a_pod(runtimeClassName="mine"))
    assert "'mine' is not offered" in (await refused(acme))["message"]
    known(acme, "mine", "kata")
    await eventually(
        lambda: any("the handler 'kata' of 'mine'" in said for said in told(acme, "NotOffered")),
        "it is looked at again, and still refused",
    )
    assert acme.mirror(PODS, WEB) is None
    world.super.create(RUNTIME_CLASSES, a_class("kata-fc", "kata", public=True))
    assert await class_below(acme) == "kata-fc"
    await eventually(lambda: refusal(acme) is None, "nothing is refused any more")


async def test_without_our_class_or_with_another_handler_in_it_pods_are_refused(
    world: World, acme: TenantCluster
) -> None:
    offer(world, ours=False)
    world.super.create(RUNTIME_CLASSES, a_class(api.NOT_OFFERED_RUNTIME_CLASS, "runc"))
    known(acme, "mine", "kata")
    acme.server.create(PODS, a_pod(runtimeClassName="mine"))
    assert (await refused(acme))["reason"] == "NotOffered"
    assert acme.mirror(PODS, WEB) is None


async def test_a_class_of_an_offered_name_counts_by_its_own_handler(
    world: World, acme: TenantCluster
) -> None:
    """The name was taken before the provider offered it; the tenant's own class stays."""
    known(acme, "gvisor", "privileged")
    offer(world)
    await eventually(
        lambda: acme.server.get(RUNTIME_CLASSES, ObjectKey("", "nvidia")), "they are offered"
    )
    acme.server.create(PODS, a_pod(runtimeClassName="gvisor"))
    assert await class_below(acme) == api.NOT_OFFERED_RUNTIME_CLASS


async def test_a_class_that_goes_leaves_pods_alone_that_are_down(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    known(acme, "mine", "runsc")
    acme.server.create(PODS, a_pod(runtimeClassName="mine"))
    await acme.runs(WEB)
    acme.server.delete(RUNTIME_CLASSES, ObjectKey("", "mine"))
    world.super.delete(RUNTIME_CLASSES, ObjectKey("", "gvisor"))
    acme.server.patch(PODS, WEB, {"metadata": {"labels": {"a": "b"}}})
    await eventually(
        lambda: below(world, acme)["metadata"]["labels"].get("a") == "b", "its labels go down"
    )
    assert below(world, acme)["spec"]["runtimeClassName"] == "gvisor"
    assert not told(acme, "NotOffered")


async def test_no_request_is_made_for_a_class_that_is_known(
    world: World, acme: TenantCluster
) -> None:
    offer(world)
    known(acme, "mine", "runsc")
    await eventually(
        lambda: acme.server.get(RUNTIME_CLASSES, ObjectKey("", "gvisor")), "the watch goes on"
    )
    acme.server.create(PODS, a_pod("first", runtimeClassName="mine"))
    await acme.goes_down(PODS, ObjectKey("default", "first"))
    await world.nothing_to_do()

    def reads() -> int:
        calls = acme.server.script.log
        return sum((call.verb, call.plural) == ("GET", "runtimeclasses") for call in calls)

    before = reads()
    for name in ("second", "third"):
        acme.server.create(PODS, a_pod(name, runtimeClassName="mine"))
        await acme.goes_down(PODS, ObjectKey("default", name))
    assert reads() == before
