"""What goes down and up beside pods."""

from datetime import datetime

from kube.objects import Object, ObjectKey
from kube.resources import (
    CONFIG_MAPS,
    EVENTS,
    NODES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STORAGE_CLASSES,
    Resource,
)
from tests.builders import a_config_map, a_node, a_pod, a_service
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

WEB = ObjectKey("default", "web")
SETTINGS = ObjectKey("default", "settings")


async def test_a_service_goes_down_also_if_both_its_ports_on_nodes_are_taken(
    world: World, acme: TenantCluster
) -> None:
    """Of the one for health checks an API server says so by 500."""
    taken = "failed to allocate requested HealthCheck NodePort 31000: provided port is allocated"
    world.super.script.add("POST", "/services$", Answer(500, "InternalError", taken))
    world.super.script.add("POST", "/services$", Answer(422))
    ports = [{"port": 80, "nodePort": 31111}]
    service = a_service(type="LoadBalancer", clusterIP="10.101.5.20", ports=ports)
    service["spec"] |= {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
    acme.server.create(SERVICES, service)
    mirror = await acme.goes_down(SERVICES, WEB)
    assert "healthCheckNodePort" not in mirror["spec"]
    assert "nodePort" not in mirror["spec"]["ports"][0]


async def test_a_service_keeps_its_address_and_gets_another_node_port_if_its_own_is_taken(
    world: World, acme: TenantCluster
) -> None:
    port = {"port": 80, "nodePort": 31111}
    world.super.script.add("POST", "/services$", Answer(422))
    acme.server.create(SERVICES, a_service(type="NodePort", clusterIP="10.101.5.20", ports=[port]))
    mirror = await acme.goes_down(SERVICES, WEB)
    assert mirror["spec"]["clusterIP"] == "10.101.5.20"
    assert "nodePort" not in mirror["spec"]["ports"][0], "the super cluster allocates one"
    allocated = {"spec": {"ports": [{"port": 80, "nodePort": 32222}]}}
    world.super.patch(SERVICES, acme.mirror_key(WEB), allocated)
    await eventually(
        lambda: acme.server.live(SERVICES, WEB)["spec"]["ports"][0].get("nodePort") == 32222,
        "the node port is up",
    )


async def test_the_address_of_a_load_balancer_goes_up(world: World, acme: TenantCluster) -> None:
    acme.server.create(SERVICES, a_service(type="LoadBalancer", clusterIP="10.101.5.20"))
    await acme.goes_down(SERVICES, WEB)
    balanced = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    world.super.patch(SERVICES, acme.mirror_key(WEB), balanced, "status")
    await eventually(
        lambda: acme.server.live(SERVICES, WEB).get("status") == balanced["status"],
        "the balancer's address is up",
    )


async def test_a_mirror_that_somebody_changed_or_deleted_is_repaired(
    world: World, acme: TenantCluster
) -> None:
    service = a_service(clusterIP="10.101.5.20", selector={"app": "web"})
    acme.server.create(SERVICES, service)
    mirror = await acme.goes_down(SERVICES, WEB)
    world.super.patch(SERVICES, acme.mirror_key(WEB), {"spec": {"selector": {"app": "evil"}}})
    await eventually(
        lambda: (
            (found := acme.mirror(SERVICES, WEB)) and found["spec"]["selector"] == {"app": "web"}
        ),
        "the selector is as the tenant wants it",
    )
    world.super.delete(SERVICES, acme.mirror_key(WEB))
    again = await acme.goes_down(SERVICES, WEB)
    assert again["metadata"]["uid"] != mirror["metadata"]["uid"]


async def test_a_changed_config_map_goes_down_while_a_pod_uses_it(acme: TenantCluster) -> None:
    acme.server.create(CONFIG_MAPS, a_config_map(color="red"))
    acme.server.create(PODS, a_pod(volumes=[{"name": "v", "configMap": {"name": "settings"}}]))
    await acme.goes_down(PODS, WEB)
    acme.server.patch(CONFIG_MAPS, SETTINGS, {"data": {"color": "blue"}})
    await eventually(
        lambda: (
            (found := acme.mirror(CONFIG_MAPS, SETTINGS)) and found["data"] == {"color": "blue"}
        ),
        "the change is down",
    )


async def test_a_pod_waits_for_its_config_map_and_the_tenant_is_told_so(
    acme: TenantCluster,
) -> None:
    acme.server.create(PODS, a_pod(volumes=[{"name": "v", "configMap": {"name": "settings"}}]))
    event = await acme.told("FailedMount")
    assert "'settings'" in event["message"]
    assert not acme.mirror(PODS, WEB)
    acme.server.create(CONFIG_MAPS, a_config_map())
    await acme.goes_down(PODS, WEB)


async def test_a_pod_gets_a_token_of_its_own_cluster_and_it_goes_with_the_pod(
    world: World, acme: TenantCluster
) -> None:
    account = {"metadata": {"name": "default", "namespace": "default"}}
    acme.server.create(SERVICE_ACCOUNTS, account)
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    volume = {"name": "kube-api-access", "projected": {"sources": [source]}}
    pod = acme.server.create(PODS, a_pod(volumes=[volume], serviceAccountName="default"))
    mirror = await acme.goes_down(PODS, WEB)
    assert mirror["spec"]["automountServiceAccountToken"] is False
    below = acme.mirror_key(WEB).namespace
    assert not world.super.objects(SECRETS, below), (
        "a token names its pod's node: not before it has one"
    )
    await acme.runs(WEB)
    secrets = await eventually(lambda: world.super.objects(SECRETS, below), "it has its token")
    assert len(secrets) == 1
    due = datetime.fromisoformat(secrets[0]["metadata"]["annotations"][api.EXPIRES_ANNOTATION])
    assert 2000 < (due - datetime.now(due.tzinfo)).total_seconds() < 3607
    request = acme.server.script.calls("POST", "serviceaccounts", "token")[0].json
    assert request["spec"]["boundObjectRef"]["uid"] == pod["metadata"]["uid"]
    acme.server.delete(PODS, WEB, grace=0)
    await eventually(
        lambda: "deletionTimestamp" in (acme.mirror(PODS, WEB) or {})["metadata"], "it ends below"
    )
    world.super.delete(PODS, acme.mirror_key(WEB), grace=0)
    await acme.gone_everywhere(PODS, WEB)
    await eventually(
        lambda: not world.super.objects(SECRETS, acme.mirror_key(WEB).namespace),
        "the token is gone",
    )


def an_event(namespace: str, pod: Object, message: str) -> Object:
    """What a scheduler or a kubelet says about a pod."""
    reference = {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"]}
    return {
        "metadata": {"name": "web.17a", "namespace": namespace},
        "involvedObject": reference | {"uid": pod["metadata"]["uid"]},
        "reason": "FailedScheduling",
        "message": message,
        "type": "Warning",
        "count": 1,
    }


async def test_events_go_up_in_the_tenants_words_and_count_up(
    world: World, acme: TenantCluster
) -> None:
    pod = acme.server.create(PODS, a_pod())
    mirror = await acme.goes_down(PODS, WEB)
    namespace = acme.mirror_key(WEB).namespace
    world.super.create(EVENTS, an_event(namespace, mirror, f"no node for {namespace}/web"))
    event = await acme.told("FailedScheduling")
    assert event["message"] == "no node for default/web"
    assert event["involvedObject"]["uid"] == pod["metadata"]["uid"]
    assert acme.tenant.key not in str(event)
    world.super.patch(EVENTS, ObjectKey(namespace, "web.17a"), {"count": 7})
    await eventually(
        lambda: acme.server.live(EVENTS, ObjectKey("default", "web.17a"))["count"] == 7,
        "the count is up",
    )


async def test_a_heartbeat_of_a_node_writes_nothing(world: World, acme: TenantCluster) -> None:
    key = ObjectKey("", "node-1")

    def beat(time: str) -> None:
        ready = {"type": "Ready", "status": "True", "reason": "Fine", "lastHeartbeatTime": time}
        world.super.patch(NODES, key, {"status": {"conditions": [ready]}}, "status")

    beat("2030-01-01T00:00:00Z")
    await eventually(
        lambda: "Fine" in str(acme.server.live(NODES, key)["status"]["conditions"]), "it is shown"
    )
    before = acme.server.live(NODES, key)
    beat("2030-01-01T00:00:10Z")
    world.super.create(NODES, a_node("node-2"))
    await eventually(lambda: acme.server.get(NODES, ObjectKey("", "node-2")), "node-2 is up")
    assert acme.server.live(NODES, key) == before


async def test_a_node_that_changes_or_goes_does_so_for_the_tenant(
    world: World, acme: TenantCluster
) -> None:
    key = ObjectKey("", "node-1")
    await eventually(lambda: acme.server.get(NODES, key), "the virtual node is there")
    world.super.patch(NODES, key, {"metadata": {"labels": {"gpu": "H100"}}})
    await eventually(
        lambda: acme.server.live(NODES, key)["metadata"]["labels"].get("gpu") == "H100",
        "the label is up",
    )
    world.super.delete(NODES, key)
    await eventually(lambda: not acme.server.get(NODES, key), "the virtual node is gone")


async def test_only_classes_marked_as_public_are_shown(world: World, acme: TenantCluster) -> None:
    def create(resource: Resource, name: str, **labels: str) -> None:
        world.super.create(
            resource, {"metadata": {"name": name, "labels": labels}, "provisioner": "example.com/x"}
        )

    create(STORAGE_CLASSES, "internal")
    create(STORAGE_CLASSES, "fast", **{api.PUBLIC_LABEL: "true"})
    shown = await eventually(lambda: acme.server.objects(STORAGE_CLASSES), "a class is up")
    assert [item["metadata"]["name"] for item in shown] == ["fast"]
    unmark = {"metadata": {"labels": {api.PUBLIC_LABEL: None}}}
    world.super.patch(STORAGE_CLASSES, ObjectKey("", "fast"), unmark)
    await eventually(lambda: not acme.server.objects(STORAGE_CLASSES), "the class is withdrawn")
