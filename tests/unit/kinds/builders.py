"""Objects and tenants to translate, of which a test names only what it is about."""

from typing import Any

from kube.objects import Object
from vcluster.api import Tenant

ACME = Tenant(
    key="acme-1f3a9c2e",
    name="acme",
    namespace="tenants",
    uid="11111111-1111-1111-1111-111111111111",
    service_cidr="10.101.5.0/24",
)
TENANT_UID = "22222222-2222-2222-2222-222222222222"
SUPER_UID = "33333333-3333-3333-3333-333333333333"


def metadata(name: str, **fields: Any) -> Object:
    """The metadata of an object as an API server returns it."""
    return {
        "name": name,
        "namespace": "web",
        "uid": TENANT_UID,
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "ownerReferences": [{"uid": "of-an-owner"}],
        "finalizers": ["example.com/protection"],
        **fields,
    }


def a_namespace(name: str = "web", **labels: str) -> Object:
    """A tenant's namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata(name, labels=labels) | {"namespace": ""},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def a_service(**spec: Any) -> Object:
    """A tenant's Service of type ClusterIP, as its API server has defaulted it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata("shop"),
        "spec": {
            "clusterIP": "10.101.5.20",
            "clusterIPs": ["10.101.5.20"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [a_port(80)],
            "selector": {"app": "shop"},
            "sessionAffinity": "None",
            "type": "ClusterIP",
            **spec,
        },
        "status": {"loadBalancer": {}},
    }


def a_port(port: int, **fields: Any) -> Object:
    """One port of a Service."""
    return {"port": port, "protocol": "TCP", "targetPort": port, **fields}


def live(wanted: Object, **fields: Any) -> Object:
    """A wanted object as the API server has it after creation."""
    given = {"uid": SUPER_UID, "resourceVersion": "9", "managedFields": [{"manager": "syncer"}]}
    return wanted | {"metadata": wanted["metadata"] | given} | fields


def merged(target: Any, patch: Any) -> Any:
    """What an API server makes of a JSON merge patch: RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
