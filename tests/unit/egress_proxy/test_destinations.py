"""What a tenant's API server may be connected to: decided from plain objects."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from egress_proxy.destinations import (
    Denied,
    Target,
    agents_of,
    endpoints_of,
    is_outside,
    is_own_pod,
    service_key,
    target_of,
)
from kube.objects import ObjectKey
from vcluster import api

KEY = "team-a-11111111"


def a_super_pod(tenant: str = KEY, phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {api.TENANT_LABEL: tenant} if tenant else {}},
        "spec": spec,
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1:443", "10.0.0.1", 443),
        ("[fd00:0::1]:443", "fd00::1", 443),
        ("[::ffff:127.0.0.1]:443", "127.0.0.1", 443),
        ("Web.Default.svc:80", "web.default.svc", 80),
    ],
)
def test_a_target_has_one_form(text: str, host: str, port: int) -> None:
    assert target_of(text) == Target(host, port)


@pytest.mark.parametrize("text", ["10.0.0.1", ":443", "10.0.0.1:0", "10.0.0.1:65536", "a:b", "a:²"])
def test_what_is_no_target_is_denied(text: str) -> None:
    with pytest.raises(Denied, match="no host and port"):
        target_of(text)


def test_names_of_services_are_those_of_the_tenants_dns() -> None:
    for name in ("web.shop.svc", "web.shop.svc.cluster.local", "web.shop.svc.cluster.local."):
        assert service_key(name) == ObjectKey("shop", "web")
    for name in ("web", "web.shop", "a.web.shop.svc", "web.shop.svc.example.com", "../x.y.svc"):
        assert service_key(name) is None


@pytest.mark.parametrize(
    ("pods", "own"),
    [
        ([a_super_pod()], True),
        ([a_super_pod(phase="Pending")], True),
        ([], False),
        ([a_super_pod("team-b-2")], False),
        ([a_super_pod("")], False),
        ([a_super_pod(phase="Failed")], False),
        ([a_super_pod(phase="Succeeded"), a_super_pod("team-b-2")], False),
        ([a_super_pod(phase="Succeeded"), a_super_pod()], True),
        ([a_super_pod(), a_super_pod("team-b-2")], False),
        ([a_super_pod(hostNetwork=True)], False),
    ],
)
def test_an_address_is_the_tenants_if_one_living_pod_has_it(
    pods: list[dict[str, Any]], own: bool
) -> None:
    assert is_own_pod(KEY, pods) is own


def test_node_agents_are_found_where_virtual_nodes_say() -> None:
    addresses = [
        {"type": "InternalIP", "address": "10.1.0.2"},
        {"type": "ExternalIP", "address": "192.0.2.1"},
    ]
    node: dict[str, Any] = {"metadata": {"name": "n"}, "status": {"addresses": addresses}}
    assert agents_of(node, 10250) == {Target("10.1.0.2", 10250)}
    node["metadata"]["annotations"] = {api.NODE_AGENT_ANNOTATION: "127.0.0.1:15000"}
    assert agents_of(node, 10250) == {Target("127.0.0.1", 15000)}
    node["metadata"]["annotations"] = {api.NODE_AGENT_ANNOTATION: ":15000"}
    assert agents_of(node, 10250) == {Target("10.1.0.2", 15000)}


def test_endpoints_of_a_service_are_those_of_the_port_that_are_ready() -> None:
    service = {
        "spec": {
            "ports": [
                {"name": "dns", "port": 443, "protocol": "UDP"},
                {"name": "https", "port": 443},
                {"name": "metrics", "port": 9090},
            ]
        }
    }
    slices: list[dict[str, Any]] = [
        {
            "ports": [{"name": "https", "port": 8443}, {"name": "metrics", "port": 9}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
                {"addresses": ["10.0.0.3"]},
            ],
        },
        {"ports": None, "endpoints": None},
    ]
    assert endpoints_of(service, 443, slices) == [
        Target("10.0.0.1", 8443),
        Target("10.0.0.3", 8443),
    ]
    with pytest.raises(Denied, match="no port 80"):
        endpoints_of(service, 80, slices)


@pytest.mark.parametrize(
    ("address", "outside"),
    [
        ("192.0.2.7", True),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1", False),
    ],
)
def test_outside_is_what_is_allowed_and_never_this_machine(address: str, outside: bool) -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert is_outside(ip_address(address), everything) is outside
    assert not is_outside(ip_address(address), ())
