"""The smallest objects that commands read."""

from typing import Any

from vcluster import api

Object = dict[str, Any]

KEY = "team-a-1f3a9c2e"


def condition(kind: str, status: str, reason: str = "Because", message: str = "") -> Object:
    """A condition of the first generation."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-25T10:00:00Z",
    }


def tenant(name: str = "team-a", namespace: str = "tenants", **status: Any) -> Object:
    """A VirtualCluster; keywords are fields of its status."""
    return {
        "apiVersion": api.API_VERSION,
        "kind": "VirtualCluster",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": "2026-11-25T10:00:00Z",
        },
        "spec": {"className": "standard"},
        "status": status,
    }


def ready_tenant(name: str = "team-a", namespace: str = "tenants", key: str = KEY) -> Object:
    """One that can be used."""
    return tenant(
        name,
        namespace,
        phase="Ready",
        observedGeneration=1,
        tenantKey=key,
        endpoint="https://127.0.0.1:61000",
        kubeconfigSecret="admin-kubeconfig",
        kubernetesVersion="v1.37.2",
        conditions=[condition("Ready", "True", "Ready"), condition("Syncing", "True", "InStep")],
    )


def pod(name: str, phase: str = "Running", gpus: int = 0, key: str = KEY) -> Object:
    """A super pod of a tenant."""
    limits = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": f"{key}-default",
            "labels": {api.TENANT_LABEL: key},
            "annotations": {api.NAMESPACE_ANNOTATION: "default", api.NAME_ANNOTATION: name},
        },
        "spec": {"containers": [{"name": "main", "image": "x", "resources": limits}]},
        "status": {"phase": phase},
    }
