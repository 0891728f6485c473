"""Tenants are kept apart in the network, whatever policies of their own they have."""

from kube.objects import Object, ObjectKey
from kube.resources import NAMESPACES, NETWORK_POLICIES, PODS, SERVICES
from tests.builders import a_namespace, a_pod, a_service
from tests.fakes.faults import Answer, Hang
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

OPEN = ObjectKey("shop", "open")


def a_policy(name: str, selector: Object, **spec: object) -> Object:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": selector, "policyTypes": ["Ingress"]} | spec,
    }


def isolated(world: World, acme: TenantCluster, kind: str) -> list[Object]:
    """The pods of the namespace to which the isolation applies, by selectors."""
    namespace = api.super_namespace(acme.tenant.key, "shop")
    return [
        policy["spec"]["podSelector"]
        for policy in world.super.objects(NETWORK_POLICIES, namespace)
        if policy["spec"]["policyTypes"] == [kind]
        and policy["metadata"]["name"].startswith("virtualcluster-isolation-")
    ]


async def has(world: World, acme: TenantCluster, kind: str, *selectors: Object) -> None:
    await eventually(
        lambda: isolated(world, acme, kind) == list(selectors),
        f"the isolation of {kind} selects {selectors}",
    )


async def test_every_namespace_is_isolated_but_for_pods_that_the_tenant_isolates_itself(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(NAMESPACES, a_namespace("shop"))
    await has(world, acme, "Ingress", {})
    await has(world, acme, "Egress", {})
    acme.server.create(NETWORK_POLICIES, a_policy("open", {"matchLabels": {"app": "a"}}))
    others = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}
    await has(world, acme, "Ingress", others)
    acme.server.patch(NETWORK_POLICIES, OPEN, {"spec": {"podSelector": None}})
    await has(world, acme, "Ingress")
    await has(world, acme, "Egress", {})
    acme.server.delete(NETWORK_POLICIES, OPEN)
    await has(world, acme, "Ingress", {})


async def test_a_policy_that_is_refused_leaves_its_pods_to_the_isolation(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(NAMESPACES, a_namespace("shop"))
    block = {"ipBlock": {"cidr": "169.254.169.254/32"}}
    refused = a_policy("metadata", {}, policyTypes=["Egress"], egress=[{"to": [block]}])
    acme.server.create(NETWORK_POLICIES, refused)
    await acme.told("DeniedAddress")
    await has(world, acme, "Egress", {})


async def test_no_pod_goes_down_before_its_namespace_has_what_it_needs(
    world: World, acme: TenantCluster
) -> None:
    slow = world.super.script.add_for_good("POST", "-shop/serviceaccounts$", Hang())
    refused = world.super.script.add_for_good("PATCH", "-shop/networkpolicies/", Answer(403))
    acme.server.create(NAMESPACES, a_namespace("shop"))
    acme.server.create(PODS, a_pod(namespace="shop"))
    await eventually(lambda: slow.hits, "the service account is asked for")
    acme.server.create(SERVICES, a_service("first", namespace="shop"))
    await acme.goes_down(SERVICES, ObjectKey("shop", "first"))
    slow.remove()
    await acme.told("FailedMirror")
    acme.server.create(SERVICES, a_service("second", namespace="shop"))
    await acme.goes_down(SERVICES, ObjectKey("shop", "second"))
    assert not world.super.script.calls("POST", "pods", "")
    refused.remove()
    await acme.goes_down(PODS, ObjectKey("shop", "web"))
    await has(world, acme, "Egress", {})


async def test_an_isolation_that_is_refused_later_keeps_pods_waiting_and_not_the_namespace(
    world: World, acme: TenantCluster
) -> None:
    acme.server.create(NAMESPACES, a_namespace("shop"))
    await has(world, acme, "Egress", {})
    refused = world.super.script.add_for_good("PATCH", "-shop/networkpolicies/", Answer(403))
    namespace = api.super_namespace(acme.tenant.key, "shop")
    for direction in ("ingress", "egress"):
        key = ObjectKey(namespace, f"virtualcluster-isolation-{direction}-0")
        world.super.delete(NETWORK_POLICIES, key)
    await acme.told("FailedMirror")
    acme.server.create(PODS, a_pod(namespace="shop"))
    acme.server.create(SERVICES, a_service("first", namespace="shop"))
    await acme.goes_down(SERVICES, ObjectKey("shop", "first"))
    assert not world.super.script.calls("POST", "pods", "")
    level = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    acme.server.patch(NAMESPACES, ObjectKey("", "shop"), level)
    await eventually(
        lambda: world.super.script.calls("PATCH", "namespaces"), "the namespace itself is changed"
    )
    refused.remove()
    await acme.goes_down(PODS, ObjectKey("shop", "web"))
    await has(world, acme, "Egress", {})


async def test_a_namespace_that_is_made_anew_is_isolated_anew(
    world: World, acme: TenantCluster
) -> None:
    """Also where the deletion of the former one's policies has not been told yet."""
    await world.kill_syncer()
    untold = world.super.script.add_for_good("WATCH", "/networkpolicies", Hang())
    await world.start_syncer()
    acme.server.create(NAMESPACES, a_namespace("shop"))
    await has(world, acme, "Egress", {})
    await world.nothing_to_do()
    acme.server.delete(NAMESPACES, ObjectKey("", "shop"))
    namespace = ObjectKey("", api.super_namespace(acme.tenant.key, "shop"))
    await eventually(lambda: world.super.get(NAMESPACES, namespace) is None, "it is gone")
    acme.server.create(NAMESPACES, a_namespace("shop"))
    acme.server.create(PODS, a_pod(namespace="shop"))
    await acme.goes_down(PODS, ObjectKey("shop", "web"))
    assert isolated(world, acme, "Egress") == isolated(world, acme, "Ingress") == [{}]
    untold.remove()


async def test_no_pod_goes_down_to_the_namespace_of_a_predecessor(
    world: World, acme: TenantCluster
) -> None:
    """It is about to be deleted, and all that is in it."""
    shop = ObjectKey("", "shop")
    acme.server.create(NAMESPACES, a_namespace("shop"))
    await has(world, acme, "Egress", {})
    late = world.super.script.add_for_good("DELETE", "/namespaces/[^/]+-shop$", Hang())
    acme.server.delete(NAMESPACES, shop)
    await eventually(lambda: acme.server.get(NAMESPACES, shop) is None, "it is gone")
    acme.server.create(NAMESPACES, a_namespace("shop"))
    acme.server.create(PODS, a_pod(namespace="shop"))
    acme.server.create(SERVICES, a_service("meanwhile"))
    await eventually(lambda: late.hits, "the former one is to be deleted")
    await acme.goes_down(SERVICES, ObjectKey("default", "meanwhile"))
    assert not world.super.script.calls("POST", "pods", "")
    late.remove()
    await acme.goes_down(PODS, ObjectKey("shop", "web"))


async def test_a_service_account_that_was_not_made_is_asked_for_again(
    world: World, acme: TenantCluster
) -> None:
    failed = world.super.script.add("POST", "-shop/serviceaccounts$", Answer(500), times=2)
    acme.server.create(NAMESPACES, a_namespace("shop"))
    acme.server.create(PODS, a_pod(namespace="shop"))
    await acme.goes_down(PODS, ObjectKey("shop", "web"))
    asked = world.super.script.calls("POST", "serviceaccounts")
    assert [call.namespace for call in asked].count(
        api.super_namespace(acme.tenant.key, "shop")
    ) == 3
    assert failed.hits == 2
    assert len(world.super.script.calls("POST", "pods", "")) == 1


async def test_an_isolation_that_is_lost_comes_back(world: World, acme: TenantCluster) -> None:
    acme.server.create(NAMESPACES, a_namespace("shop"))
    await has(world, acme, "Egress", {})
    key = ObjectKey(
        api.super_namespace(acme.tenant.key, "shop"), "virtualcluster-isolation-egress-0"
    )
    world.super.delete(NETWORK_POLICIES, key)
    await has(world, acme, "Egress", {})
    await world.kill_syncer()
    world.super.delete(NETWORK_POLICIES, key)
    await world.start_syncer()
    await has(world, acme, "Egress", {})
