"""The smallest valid objects; a test names only what it is about."""

from base64 import b64encode
from typing import Any

import yaml

from kube.objects import Object, ObjectKey
from vcluster import api
from vcluster.api import Tenant


def a_pod(name: str = "web", namespace: str = "default", **spec: Any) -> Object:
    """A pod with one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "example.com/main:1"}], **spec},
    }


def a_service(name: str = "web", namespace: str = "default", **spec: Any) -> Object:
    """A service of one port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"port": 80}], **spec},
    }


def a_config_map(name: str = "settings", namespace: str = "default", **data: str) -> Object:
    """A config map."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def a_namespace(name: str = "shop") -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def a_node(name: str = "node-1", **labels: str) -> Object:
    """A node that is ready."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "capacity": {"cpu": "8", "memory": "16Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def a_tenant(name: str = "team-a", **fields: Any) -> Tenant:
    """A tenant with a service range of its own."""
    uid = f"uid-of-{name}"
    values: dict[str, Any] = {
        "key": api.tenant_key(name, uid),
        "name": name,
        "namespace": "tenants",
        "uid": uid,
        "service_cidr": "10.101.5.0/24",
    }
    return Tenant(**(values | fields))


def a_kubeconfig_secret(key: ObjectKey, url: str) -> Object:
    """The Secret by which the syncer finds a tenant's API server that lets everybody in."""
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "c", "user": {}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {api.COMPONENT_LABEL: "kubeconfig"},
        },
        "data": {api.KUBECONFIG_KEY: b64encode(yaml.safe_dump(config).encode()).decode()},
    }


def with_metadata(obj: Object, **metadata: Any) -> Object:
    """The object with more metadata."""
    return obj | {"metadata": obj["metadata"] | metadata}
