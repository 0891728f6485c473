"""EndpointSlices, downward."""

import copy
from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds.endpoint_slice import endpoint_slice_kind
from syncer.kinds.mirror import Recreate, Refused
from tests.unit.kinds.builders import ACME, live, merged, metadata

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SLICES = endpoint_slice_kind(["192.168.0.0/16", "fd00::/8"])


def a_slice(*addresses: str, managed_by: str | None = None, **fields: Any) -> Object:
    labels = {"kubernetes.io/service-name": "database"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata(
            "database-1", labels=labels | ({MANAGED_BY: managed_by} if managed_by else {})
        ),
        "addressType": "IPv4",
        "endpoints": [{"addresses": list(addresses or ("203.0.113.7",)), "novel": True}],
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        **fields,
    }


def to_super(source: Object) -> Object:
    wanted = SLICES.to_super(source, ACME)
    assert wanted is not None
    return wanted


def test_the_slices_of_services_with_a_selector_are_made_below() -> None:
    assert SLICES.to_super(a_slice(managed_by="endpointslice-controller.k8s.io"), ACME) is None


@pytest.mark.parametrize(
    "manager", [None, "endpointslicemirroring-controller.k8s.io", "gitops.example.com"]
)
def test_all_others_go_down_as_ours(manager: str | None) -> None:
    wanted = to_super(a_slice(managed_by=manager))
    assert wanted["metadata"]["labels"][MANAGED_BY] == "syncer.virtualcluster.dev"
    assert wanted["metadata"]["labels"]["kubernetes.io/service-name"] == "database"
    assert "ownerReferences" not in wanted["metadata"]


def test_every_other_field_passes() -> None:
    source = a_slice(novel={"x": 1})
    wanted = to_super(source)
    for field in ("addressType", "endpoints", "ports", "novel"):
        assert wanted[field] == source[field]


def test_a_target_is_named_as_below() -> None:
    target = {"kind": "Pod", "name": "db-0", "namespace": "web", "uid": "x", "resourceVersion": "1"}
    endpoint = {"addresses": ["203.0.113.7"], "nodeName": "node-1", "targetRef": target}
    assert to_super(a_slice(endpoints=[endpoint]))["endpoints"] == [
        {
            "addresses": ["203.0.113.7"],
            "nodeName": "node-1",
            "targetRef": {"kind": "Pod", "name": "db-0", "namespace": "acme-1f3a9c2e-web"},
        }
    ]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "0.0.0.0",
        "192.168.3.4",
        "::1",
        "fe80::1",
        "ff02::1",
        "::",
        "fd00::7",
        "::ffff:127.0.0.1",
        "::ffff:192.168.3.4",
        "metadata.internal",
        "0127.0.0.1",
    ],
)
def test_an_address_of_the_infrastructure_is_refused_by_name(address: str) -> None:
    with pytest.raises(Refused) as refused:
        SLICES.to_super(a_slice("203.0.113.7", address), ACME)
    assert refused.value.field == "endpoints[0].addresses"
    assert repr(address) in str(refused.value)


@pytest.mark.parametrize("address", ["10.2.3.4", "8.8.8.8", "192.169.0.1", "2001:db8::7"])
def test_other_addresses_pass(address: str) -> None:
    assert to_super(a_slice(address))["endpoints"][0]["addresses"] == [address]


GATEWAY = "192.168.7.1"
OWN_PORT = {"name": "https", "port": 61001, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("addresses", "ports", "passes"),
    [
        ([GATEWAY], [OWN_PORT], True),
        ([GATEWAY], [OWN_PORT | {"port": 61002}], False),
        ([GATEWAY], [OWN_PORT, OWN_PORT | {"port": 61002}], False),
        ([GATEWAY], [OWN_PORT | {"protocol": "UDP"}], False),
        ([GATEWAY], [], False),
        ([GATEWAY, "192.168.7.2"], [OWN_PORT], False),
        (["192.168.7.2"], [OWN_PORT], False),
    ],
)
def test_at_the_gateway_only_the_tenants_own_api_server_may_be_named(
    addresses: list[str], ports: list[Object], passes: bool
) -> None:
    kind = endpoint_slice_kind(["192.168.0.0/16"], GATEWAY)
    tenant = msgspec.structs.replace(ACME, api_server_port=61001)
    source = a_slice(*addresses, ports=ports)
    if passes:
        wanted = kind.to_super(source, tenant)
        assert wanted is not None
        assert wanted["endpoints"][0]["addresses"] == addresses
    else:
        with pytest.raises(Refused):
            kind.to_super(source, tenant)


def test_without_a_gateway_nothing_is_let_through() -> None:
    with pytest.raises(Refused):
        SLICES.to_super(a_slice(GATEWAY, ports=[{"port": 0}]), ACME)


def test_a_denied_range_that_is_none_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        endpoint_slice_kind(["10.0.0.1/8"])


def test_a_patch_replaces_the_endpoints() -> None:
    mirror = live(to_super(a_slice("203.0.113.7")))
    wanted = to_super(a_slice("203.0.113.8"))
    patch = SLICES.patch(mirror, wanted)
    assert patch is not None
    assert patch["endpoints"] == wanted["endpoints"]
    assert patch.keys() == {"metadata", "endpoints"}
    assert SLICES.patch(merged(mirror, patch), wanted) is None


def test_a_slice_of_another_address_type_is_made_anew() -> None:
    with pytest.raises(Recreate):
        SLICES.patch(live(to_super(a_slice())), to_super(a_slice(addressType="IPv6", endpoints=[])))


def test_the_input_is_left_alone() -> None:
    source = a_slice(endpoints=[{"addresses": ["8.8.8.8"], "targetRef": {"uid": "x", "name": "y"}}])
    before = copy.deepcopy(source)
    to_super(source)
    assert source == before
