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
