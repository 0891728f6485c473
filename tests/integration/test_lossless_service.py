"""Every field that the API server knows of a Service arrives, or is listed here with the reason."""

from collections.abc import Iterator

import pytest

from kube.objects import Object
from kube.resources import NAMESPACES, SERVICE_CIDRS, SERVICES
from syncer.kinds import namespace, service
from tests.integration.documents import schemas
from tests.integration.super_cluster import SuperCluster
from tests.integration.waiting import eventually
from tests.openapi import OMIT, leaves
from vcluster.api import Tenant

pytestmark = pytest.mark.integration

LOSSLESS = Tenant(
    key="lossless-0a1b2c3d",
    name="lossless",
    namespace="tenants",
    uid="11111111-1111-1111-1111-111111111111",
    service_cidr="10.199.7.0/24",
)
TENANT_UID = "22222222-2222-2222-2222-222222222222"
REFUSED = {"externalIPs"}

COMMON: Object = {
    "internalTrafficPolicy": "Local",
    "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack",
    "selector": {"app": "shop"},
    "sessionAffinity": "None",
}
PORT: Object = {
    "appProtocol": "kubernetes.io/h2c",
    "name": "http",
    "port": 80,
    "protocol": "TCP",
    "targetPort": "web",
}
VALID: dict[str, Object] = {
    "balancer": COMMON
    | {
        "type": "LoadBalancer",
        "allocateLoadBalancerNodePorts": True,
        "clusterIP": "10.199.7.20",
        "clusterIPs": ["10.199.7.20"],
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 30999,
        "loadBalancerClass": "example.com/internal",
        "loadBalancerIP": "198.51.100.4",
        "loadBalancerSourceRanges": ["203.0.113.0/24"],
        "ports": [PORT | {"nodePort": 30998}],
        "publishNotReadyAddresses": True,
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 30}},
        "trafficDistribution": "PreferSameZone",
    },
    "headless": COMMON
    | {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "ports": [PORT]},
    "external": {
        "type": "ExternalName",
        "externalName": "db.example.com",
        "sessionAffinity": "None",
    },
}
"""Between them they use every field; as a tenant's API server has defaulted them."""


def a_service(name: str, spec: Object) -> Object:
    return {
        "metadata": {"name": name, "namespace": "web", "uid": TENANT_UID, "resourceVersion": "1"},
        "spec": spec,
        "status": {"loadBalancer": {}},
    }


@pytest.fixture(scope="module")
def service_range(super_cluster: SuperCluster) -> Iterator[None]:
    """A tenant's service range and the super namespace of its namespace ``web``."""
    cluster = super_cluster.cluster
    source: Object = {"metadata": {"name": "web", "uid": TENANT_UID}}
    super_namespace = namespace.to_super(source, LOSSLESS)
    cidr = {
        "apiVersion": SERVICE_CIDRS.api_version,
        "kind": SERVICE_CIDRS.kind,
        "metadata": {"name": LOSSLESS.key},
        "spec": {"cidrs": [LOSSLESS.service_cidr]},
    }

    def conditions() -> list[Object]:
        live = cluster.get(SERVICE_CIDRS, LOSSLESS.key) or {}
        return list(live.get("status", {}).get("conditions", []))

    cluster.apply(SERVICE_CIDRS, cidr)
    cluster.apply(NAMESPACES, super_namespace)
    eventually("the service range is ready", conditions)
    yield
    cluster.delete(NAMESPACES, super_namespace["metadata"]["name"])
    cluster.delete(SERVICE_CIDRS, LOSSLESS.key)


def test_every_field_goes_down_or_is_listed(super_cluster: SuperCluster) -> None:
    address = {"type": "NodePort", "clusterIP": "10.199.7.20", "clusterIPs[]": "10.199.7.21"}
    omitted = dict.fromkeys(REFUSED, OMIT)
    spec = schemas(super_cluster, "api/v1").example(
        "io.k8s.api.core.v1.ServiceSpec", address | omitted
    )
    arrived = dict(leaves(service.to_super(a_service("shop", spec), LOSSLESS)["spec"]))
    sent = dict(leaves(spec))
    assert arrived == sent


def test_every_field_of_the_status_goes_up(super_cluster: SuperCluster) -> None:
    status = schemas(super_cluster, "api/v1").example("io.k8s.api.core.v1.ServiceStatus")
    source = a_service("shop", VALID["balancer"])
    mirror = service.to_super(source, LOSSLESS) | {"status": status}
    writes = {
        write.subresource: write.patch for write in service.to_tenant(mirror, source, LOSSLESS)
    }
    assert writes["status"] == {"status": status}


@pytest.mark.parametrize("name", VALID)
@pytest.mark.usefixtures("service_range")
def test_a_real_api_server_keeps_every_field(super_cluster: SuperCluster, name: str) -> None:
    source = a_service(name, VALID[name])
    wanted = service.to_super(source, LOSSLESS)
    # The API server gives addresses of a new range only when it has heard that it is ready.
    live = eventually("it is accepted", lambda: super_cluster.cluster.apply(SERVICES, wanted))
    assert service.patch(live, wanted) is None
    assert dict(leaves(live["spec"])) == dict(leaves(VALID[name]))


def test_the_real_services_use_every_field_between_them(super_cluster: SuperCluster) -> None:
    example = schemas(super_cluster, "api/v1").example("io.k8s.api.core.v1.ServiceSpec")
    used = {path for spec in VALID.values() for path in _fields(spec)}
    assert {path for path in _fields(example) if path not in used} == REFUSED


def _fields(spec: Object) -> set[str]:
    """The paths of the fields, whatever the keys of maps and however long the lists."""
    paths = (path.replace("[0]", "") for path, _ in leaves(spec))
    return {"selector" if path.startswith("selector.") else path for path in paths}
