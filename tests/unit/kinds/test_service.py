"""Services, downward and back."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.errors import Invalid, ServerError
from kube.objects import Object
from syncer.kinds import service
from syncer.kinds.mirror import Recreate, Refused, Write
from tests.unit.kinds.builders import ACME, a_port, a_service, live, merged
from vcluster.api import Policy
from vcluster.sync import CustomResource, Sync

NODE_PORT = {"type": "NodePort", "externalTrafficPolicy": "Cluster"}
BALANCED: Object = {
    "type": "LoadBalancer",
    "externalTrafficPolicy": "Cluster",
    "allocateLoadBalancerNodePorts": True,
}
GIVEN = {"ingress": [{"ip": "198.51.100.4", "ipMode": "VIP"}]}


def a_mirror(source: Object, **spec: Any) -> Object:
    """The super Service made for the tenant's, with what the super cluster gave it."""
    wanted = service.to_super(source, ACME)
    return live(wanted, spec=wanted["spec"] | spec, status={"loadBalancer": {}})


# Downward


def test_controllers_that_all_share_are_asked_for_nothing_by_annotations() -> None:
    source = a_service()
    host = "external-dns.alpha.kubernetes.io/hostname"
    source["metadata"]["annotations"] = {host: "shop.example.com", "example.com/note": "x"}
    annotations = service.to_super(source, ACME)["metadata"]["annotations"]
    assert host not in annotations
    assert annotations["external-dns.alpha.kubernetes.io.withheld.virtualcluster.dev/hostname"]
    assert annotations["example.com/note"] == "x"
    trusted = msgspec.structs.replace(ACME, policy=Policy(withheld_annotations=()))
    assert service.to_super(source, trusted)["metadata"]["annotations"][host] == "shop.example.com"


def test_the_address_is_the_same_on_both_sides() -> None:
    spec = service.to_super(a_service(), ACME)["spec"]
    assert (spec["clusterIP"], spec["clusterIPs"]) == ("10.101.5.20", ["10.101.5.20"])


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "10.101.6.1"},
        {"clusterIP": "10.101.5.20", "clusterIPs": ["10.101.5.20", "10.0.0.1"]},
        {"clusterIP": "fd00::1"},
        {"clusterIP": "10.101.5.020"},
    ],
)
def test_an_address_outside_the_tenants_range_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"10\.101\.5\.0/24") as refused:
        service.to_super(a_service(**spec), ACME)
    assert refused.value.field == "spec.clusterIP"


def test_external_addresses_are_refused_aloud() -> None:
    with pytest.raises(Refused, match=r"203\.0\.113\.9") as refused:
        service.to_super(a_service(externalIPs=["203.0.113.9"]), ACME)
    assert refused.value.field == "spec.externalIPs"


def test_a_headless_service_stays_headless() -> None:
    spec = service.to_super(a_service(clusterIP="None", clusterIPs=["None"]), ACME)["spec"]
    assert spec["clusterIP"] == "None"


EXTERNAL = a_service() | {"spec": {"type": "ExternalName", "externalName": "db.example.com"}}
WIDGETS = CustomResource(group="e.com", version="v1", plural="widgets", kind="Widget")


def test_an_external_name_needs_no_address() -> None:
    assert service.to_super(EXTERNAL, ACME)["spec"] == EXTERNAL["spec"]


@pytest.mark.parametrize(
    ("sync", "goes_down"),
    [
        (Sync(), True),
        (Sync(volume_snapshots=True), True),
        (Sync(ingresses=True), False),
        (Sync(custom_resources=(WIDGETS,)), False),
        (Sync(custom_resources=(msgspec.structs.replace(WIDGETS, direction="up"),)), True),
    ],
)
def test_a_name_that_a_shared_controller_would_follow_stays_in_the_tenant(
    sync: Sync, goes_down: bool
) -> None:
    tenant = msgspec.structs.replace(ACME, sync=sync)
    assert (service.SERVICE.to_super(EXTERNAL, tenant) is not None) is goes_down
    assert service.SERVICE.to_super(a_service(), tenant) == service.to_super(a_service(), tenant)


TAKEN = Invalid(422, "Invalid", "spec.ports[0].nodePort: provided port is already allocated")
HEALTH_CHECK_TAKEN = ServerError(
    500,
    "InternalError",
    "Internal error occurred: failed to allocate requested HealthCheck NodePort 31000: provided port "
    "is already allocated",
)


def test_the_tenants_node_port_is_asked_for_and_any_other_one_will_do() -> None:
    source = a_service(ports=[a_port(80, nodePort=30080)], **NODE_PORT)
    wanted = service.to_super(source, ACME)
    assert wanted["spec"]["ports"] == [a_port(80, nodePort=30080)]
    assert service.modest(wanted, TAKEN)["spec"]["ports"] == [a_port(80)]


def test_the_tenants_port_for_health_checks_is_asked_for_once() -> None:
    local = BALANCED | {"externalTrafficPolicy": "Local"}
    wanted = service.to_super(a_service(**local, healthCheckNodePort=31000), ACME)
    assert wanted["spec"]["healthCheckNodePort"] == 31000
    assert service.modest(wanted, TAKEN)["spec"]["healthCheckNodePort"] == 31000
    assert "healthCheckNodePort" not in service.modest(wanted, HEALTH_CHECK_TAKEN)["spec"]
    assert service.modest(wanted, ServerError(500, "InternalError", "no leader")) == wanted
    anywhere = a_mirror(a_service(**BALANCED))
    patch = service.patch(anywhere, wanted)
    assert patch is not None
    assert patch["spec"] == {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
    given = a_mirror(a_service(**local), healthCheckNodePort=32000)
    assert service.patch(given, wanted) is None, "another one can never be changed"


def test_every_other_field_passes() -> None:
    fields = {
        "loadBalancerIP": "198.51.100.4",
        "loadBalancerClass": "example.com/internal",
        "loadBalancerSourceRanges": ["203.0.113.0/24"],
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}},
        "trafficDistribution": "PreferSameZone",
        "publishNotReadyAddresses": True,
        "futureField": {"x": [1, {"y": None}]},
    }
    wanted = service.to_super(a_service(**fields) | {"novel": 1}, ACME)
    assert wanted["spec"] == a_service(**fields)["spec"]
    assert wanted["novel"] == 1
    assert "status" not in wanted


def test_what_the_tenant_was_given_back_does_not_go_down_again() -> None:
    one = a_service(ports=[a_port(80, nodePort=30999)], **NODE_PORT)
    source = a_service(ports=[a_port(80, nodePort=30080)], **NODE_PORT)
    other = service.to_super(source | {"status": {"loadBalancer": GIVEN}}, ACME)
    assert service.to_super(one, ACME)["metadata"] == other["metadata"]
    assert service.patch(a_mirror(one, ports=[a_port(80, nodePort=30080)]), other) is None


# Patches


def test_nothing_is_patched_when_nothing_changed() -> None:
    source = a_service(**NODE_PORT)
    mirror = a_mirror(source, ports=[a_port(80, nodePort=30080)])
    assert service.patch(mirror, service.to_super(source, ACME)) is None


def test_what_the_super_cluster_added_stays() -> None:
    source = a_service(**BALANCED)
    mirror = a_mirror(
        source,
        ports=[a_port(80, nodePort=30080)],
        loadBalancerClass="cloud.example.com/default",
        healthCheckNodePort=31000,
    )
    changed = a_service(**BALANCED, sessionAffinity="ClientIP")
    patch = service.patch(mirror, service.to_super(changed, ACME))
    assert patch is not None
    assert patch["spec"] == {"sessionAffinity": "ClientIP"}


def test_a_selector_that_the_tenant_took_away_goes() -> None:
    changed = a_service()
    del changed["spec"]["selector"]
    patch = service.patch(a_mirror(a_service()), service.to_super(changed, ACME))
    assert patch is not None
    assert patch["spec"] == {"selector": None}


def test_a_key_of_the_selector_that_the_tenant_took_away_goes() -> None:
    mirror = a_mirror(a_service(selector={"app": "shop", "tier": "front"}))
    patch = service.patch(mirror, service.to_super(a_service(), ACME))
    assert patch is not None
    assert patch["spec"] == {"selector": {"tier": None}}


@pytest.mark.parametrize(
    ("before", "after", "node_ports"),
    [
        ([a_port(80)], [a_port(80), a_port(443)], {80: 30000}),
        ([a_port(80), a_port(443)], [a_port(443), a_port(80)], {80: 30000, 443: 30001}),
        ([a_port(80), a_port(443)], [a_port(443)], {443: 30001}),
        ([a_port(80, name="http")], [a_port(8080, name="http")], {8080: 30000}),
        ([a_port(80)], [a_port(80, protocol="UDP")], {}),
        (
            [a_port(80, name="a"), a_port(81, name="b")],
            [a_port(81, name="a"), a_port(82, name="b")],
            {81: 30001},
        ),
    ],
)
def test_ports_keep_their_node_ports(
    before: list[Object], after: list[Object], node_ports: dict[int, int]
) -> None:
    given = [port | {"nodePort": 30000 + index} for index, port in enumerate(before)]
    mirror = a_mirror(a_service(ports=before, **NODE_PORT), ports=given)
    patch = service.patch(mirror, service.to_super(a_service(ports=after, **NODE_PORT), ACME))
    assert patch is not None
    ports = patch["spec"]["ports"]
    assert [port["port"] for port in ports] == [port["port"] for port in after]
    assert {port["port"]: port["nodePort"] for port in ports if "nodePort" in port} == node_ports


numbers = st.lists(st.integers(1, 6), min_size=1, max_size=5, unique=True)


@given(numbers, numbers)
def test_no_node_port_is_given_twice(before: list[int], after: list[int]) -> None:
    given_ports = [
        a_port(port, name=f"p{index}", nodePort=30000 + index) for index, port in enumerate(before)
    ]
    ports = [a_port(port, name=f"p{index}") for index, port in enumerate(after)]
    mirror = a_mirror(a_service(**NODE_PORT), ports=given_ports)
    wanted = service.to_super(a_service(ports=ports, **NODE_PORT), ACME)
    patch = service.patch(mirror, wanted)
    result = merged(mirror, patch) if patch else mirror
    kept = [port["nodePort"] for port in result["spec"]["ports"] if "nodePort" in port]
    assert len(kept) == len(set(kept))
    assert service.patch(result, wanted) is None


def test_an_inner_service_gives_its_node_ports_back() -> None:
    mirror = a_mirror(a_service(**NODE_PORT), ports=[a_port(80, nodePort=30080)])
    patch = service.patch(mirror, service.to_super(a_service(), ACME))
    assert patch is not None
    assert patch["spec"] == {
        "type": "ClusterIP",
        "externalTrafficPolicy": None,
        "ports": [a_port(80)],
    }


def test_a_service_becomes_an_external_name() -> None:
    external = a_service() | {"spec": {"type": "ExternalName", "externalName": "db.example.com"}}
    mirror = a_mirror(a_service())
    wanted = service.to_super(external, ACME)
    patch = service.patch(mirror, wanted)
    assert merged(mirror, patch)["spec"] == external["spec"]


def test_an_external_name_becomes_a_service() -> None:
    mirror = a_mirror(a_service() | {"spec": {"type": "ExternalName", "externalName": "a.example"}})
    patch = service.patch(mirror, service.to_super(a_service(), ACME))
    assert merged(mirror, patch)["spec"] == a_service()["spec"]


@pytest.mark.parametrize("address", ["10.101.5.21", "None"])
def test_another_address_needs_another_service(address: str) -> None:
    changed = a_service(clusterIP=address, clusterIPs=[address])
    with pytest.raises(Recreate):
        service.patch(a_mirror(a_service()), service.to_super(changed, ACME))


@pytest.mark.parametrize("other", [{"loadBalancerClass": "b.example.com/x"}, {}])
def test_another_class_of_balancer_needs_another_service(other: dict[str, str]) -> None:
    mirror = a_mirror(a_service(**BALANCED, loadBalancerClass="a.example.com/x"))
    with pytest.raises(Recreate):
        service.patch(mirror, service.to_super(a_service(**BALANCED, **other), ACME))


# Back to the tenant


def test_the_tenant_learns_its_node_ports() -> None:
    source = a_service(
        ports=[a_port(80, nodePort=30001, novel=1), a_port(443, nodePort=30002)], **NODE_PORT
    )
    mirror = a_mirror(source, ports=[a_port(443, nodePort=31443), a_port(80, nodePort=31080)])
    ports = [a_port(80, nodePort=31080, novel=1), a_port(443, nodePort=31443)]
    write = Write("", {"metadata": {"resourceVersion": "7"}, "spec": {"ports": ports}})
    assert service.to_tenant(mirror, source, ACME) == [write]
    assert service.to_tenant(mirror, a_service(ports=ports, **NODE_PORT), ACME) == []


def test_a_port_that_has_not_gone_down_yet_is_left_alone() -> None:
    ports = [a_port(80, nodePort=31080), a_port(443, nodePort=30002)]
    mirror = a_mirror(a_service(**NODE_PORT), ports=[a_port(80, nodePort=31080)])
    assert service.to_tenant(mirror, a_service(ports=ports, **NODE_PORT), ACME) == []


def test_a_balancer_without_node_ports_shows_none() -> None:
    without = BALANCED | {"allocateLoadBalancerNodePorts": False}
    source = a_service(ports=[a_port(80, nodePort=30001)], **without)
    assert service.to_tenant(a_mirror(source), source, ACME)[0].patch["spec"]["ports"] == [
        a_port(80)
    ]


def test_the_balancers_status_goes_up_and_comes_down_again() -> None:
    source = a_service(**BALANCED)
    mirror = a_mirror(source) | {"status": {"loadBalancer": GIVEN}}
    [write] = service.to_tenant(mirror, source, ACME)
    assert write == Write("status", {"status": {"loadBalancer": GIVEN}})
    balanced = merged(source, write.patch)
    assert service.to_tenant(mirror, balanced, ACME) == []
    [write] = service.to_tenant(a_mirror(source), balanced, ACME)
    assert merged(balanced, write.patch)["status"] == {"loadBalancer": {}}


def test_a_balancer_that_an_operator_in_the_tenant_serves_keeps_its_status() -> None:
    source = a_service(**BALANCED, loadBalancerClass="tailscale") | {
        "status": {"loadBalancer": GIVEN}
    }
    assert service.to_tenant(a_mirror(source), source, ACME) == []


def test_conditions_are_merged_by_type() -> None:
    own, theirs = {"type": "Own", "status": "True"}, {"type": "Theirs", "status": "False"}
    source = a_service() | {"status": {"loadBalancer": {}, "conditions": [own]}}
    mirror = a_mirror(source) | {"status": {"loadBalancer": {}, "conditions": [theirs]}}
    [write] = service.to_tenant(mirror, source, ACME)
    assert write == Write("status", {"status": {"conditions": [own, theirs]}})


def test_nothing_goes_up_while_the_type_changes() -> None:
    source = a_service(ports=[a_port(80, nodePort=30001)], **NODE_PORT)
    mirror = a_mirror(a_service())
    assert service.to_tenant(mirror, source, ACME) == []


def test_the_input_is_left_alone() -> None:
    source = a_service(ports=[a_port(80, nodePort=30001)], **BALANCED)
    mirror = a_mirror(source, ports=[a_port(80, nodePort=31080)]) | {
        "status": {"loadBalancer": GIVEN}
    }
    before = copy.deepcopy((source, mirror))
    wanted = service.to_super(source, ACME)
    service.patch(mirror, wanted)
    service.to_tenant(mirror, source, ACME)
    assert (source, mirror) == before
