"""Services, endpoints and network policies that point elsewhere."""

import json
from functools import partial

from tests.e2e.local_system import LocalSystem, Object, TenantCluster, wait_for
from tests.e2e.objects import service
from tests.hostile.bystander import created, told


def an_endpoint_slice(name: str, address: str, kind: str = "IPv4") -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": kind,
        "ports": [{"port": 443}],
        "endpoints": [{"addresses": [address]}],
    }


def test_a_range_that_the_tenant_gives_itself(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """Its API server then allocates what belongs to the super cluster, or to alice."""
    own_range = (local.super.get("virtualcluster", "alice", "tenants") or {})["status"][
        "serviceCIDR"
    ]
    ranges = {"super": "10.96.0.0/16", "alice": own_range}
    for name, cidr in ranges.items():
        mallory.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "ServiceCIDR",
                "metadata": {"name": name},
                "spec": {"cidrs": [cidr]},
            }
        )
    for name, address in (("super", "10.96.0.1"), ("alice", own_range.replace(".0/24", ".1"))):
        stolen = service(f"stolen-{name}", clusterIP=address)
        # Not before the range is ready does her API server give the address.
        wait_for("her API server gives the address", partial(created, mallory, stolen))
        assert told(mallory, f"stolen-{name}")["reason"] == "OutsideServiceRange"
        assert local.super.get("service", f"stolen-{name}", mallory.super_namespace()) is None
        mallory.kubectl("delete", "service", f"stolen-{name}")
    # While they are there, her API server takes addresses of any service from them.
    mallory.kubectl("delete", "servicecidr", *ranges, "--timeout=150s")


def test_external_addresses(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    mallory.apply(service("diverted", externalIPs=["10.96.0.1"]))
    assert told(mallory, "diverted")["reason"] == "ExternalIPs"
    assert local.super.get("service", "diverted", mallory.super_namespace()) is None
    mallory.kubectl("delete", "service", "diverted")


ELSEWHERE = {
    "node": ("10.192.0.1", "IPv4"),
    "super-apiserver": ("10.96.0.1", "IPv4"),
    "mapped": ("::ffff:10.96.0.1", "IPv6"),
    "name": ("kubernetes.default.svc", "FQDN"),
}


def test_endpoints_that_point_elsewhere(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    for name, (address, kind) in ELSEWHERE.items():
        manifest = json.dumps(an_endpoint_slice(name, address, kind))
        answer = mallory.kubectl("create", "-f", "-", stdin=manifest, check=False)
        if "created" not in answer:
            assert "invalid" in answer.lower(), "its own API server knows it already"
            continue
        assert told(mallory, name)["reason"] == "DeniedAddress"
        assert local.super.get("endpointslice", name, mallory.super_namespace()) is None
    mallory.kubectl("delete", "endpointslices", "--ignore-not-found", *ELSEWHERE)


def test_policies_that_open_everything(
    local: LocalSystem, alice: TenantCluster, mallory: TenantCluster
) -> None:
    """Policies add up: what one allows, the isolation cannot forbid."""
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{}],
        "egress": [{}],
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "open"},
        "spec": spec,
    }
    namespace = mallory.super_namespace()
    mallory.apply(policy)
    below = wait_for("it is down", partial(local.super.get, "networkpolicy", "open", namespace))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        (rule,) = below["spec"][direction]
        blocks = [peer["ipBlock"] for peer in rule[peers] if "ipBlock" in peer]
        (world,) = (block for block in blocks if block["cidr"] == "0.0.0.0/0")
        assert "10.128.0.0/12" in world["except"], "the pods of others"
        if direction == "egress":
            assert {"10.96.0.0/16", "10.192.0.0/16", "169.254.0.0/16"} <= {*world["except"]}
    spec["egress"] = [{"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}]}]
    mallory.apply(policy)
    assert told(mallory, "open")["reason"] == "DeniedAddress"
    mallory.kubectl("delete", "networkpolicy", "open")

    def isolated() -> bool:
        found = local.super.items("networkpolicies", "-n", namespace)
        selectors = [item["spec"]["podSelector"] for item in found]
        return selectors == [{}, {}]

    wait_for("all its pods are isolated again", isolated)
