"""Rows of tables, from objects. Pure."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from vcluster import api
from vcluster.api import Condition, Object

FINISHED = frozenset({"Succeeded", "Failed"})
GPU = "nvidia.com/gpu"

Row = dict[str, object]


def tenant_row(tenant: Object, now: datetime | None) -> Row:
    """A tenant in one row; without an age if the time is not given."""
    metadata, status = tenant["metadata"], tenant.get("status") or {}
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
    deleting = "deletionTimestamp" in metadata
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "phase": "Deleting" if deleting else status.get("phase", "Pending"),
        "ready": conditions.get(Condition.READY, "Unknown"),
        "syncing": conditions.get(Condition.SYNCING, "Unknown"),
        "version": status.get("kubernetesVersion"),
        "class": tenant.get("spec", {}).get("className"),
        "key": status.get("tenantKey"),
        "endpoint": status.get("endpoint"),
        "services": status.get("serviceCIDR"),
        "age": age(metadata.get("creationTimestamp"), now) if now else None,
    }


def pod_row(pod: Object) -> Row:
    """A super pod, by the names that its tenant gave it."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    annotations = metadata.get("annotations") or {}
    deleting = "deletionTimestamp" in metadata
    return {
        "namespace": annotations.get(api.NAMESPACE_ANNOTATION),
        "name": annotations.get(api.NAME_ANNOTATION, metadata["name"]),
        "super_namespace": metadata["namespace"],
        "phase": "Terminating" if deleting else status.get("phase", "Unknown"),
        "gpus": gpus(pod) or None,
        "node": (pod.get("spec") or {}).get("nodeName"),
    }


def namespace_row(namespace: Object, pods: Mapping[str, int]) -> Row:
    """A super namespace of a tenant."""
    metadata = namespace["metadata"]
    annotations = metadata.get("annotations") or {}
    root = api.OWNER_NAME_ANNOTATION in annotations
    return {
        "super_namespace": metadata["name"],
        "namespace": "(control plane)" if root else annotations.get(api.NAME_ANNOTATION),
        "phase": (namespace.get("status") or {}).get("phase"),
        "pods": pods.get(metadata["name"], 0),
    }


def event_row(event: Object, now: datetime) -> Row:
    """An Event in one row."""
    last = (
        event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
    )
    return {
        "age": age(last, now),
        "type": event.get("type"),
        "reason": event.get("reason"),
        "count": event.get("count") or 1,
        "message": (event.get("message") or "").strip().replace("\n", " "),
    }


def condition_row(condition: Object, now: datetime) -> Row:
    """A condition in one row."""
    return {
        "condition": condition["type"],
        "status": condition["status"],
        "reason": condition["reason"],
        "age": age(condition.get("lastTransitionTime"), now),
        "message": condition.get("message"),
    }


def gpus(pod: Object) -> int:
    """How many GPUs a pod asks for, as the scheduler counts: the greater of containers and init."""
    spec = pod.get("spec") or {}
    together = sum(_gpus(container) for container in spec.get("containers") or [])
    first = max((_gpus(container) for container in spec.get("initContainers") or []), default=0)
    return max(together, first)


def is_finished(pod: Object) -> bool:
    """Whether it holds nothing any more."""
    return (pod.get("status") or {}).get("phase") in FINISHED


def age(timestamp: str | None, now: datetime) -> str | None:
    """How long ago, as kubectl writes it: ``45s``, ``12m``, ``5h``, ``3d``."""
    if not timestamp:
        return None
    seconds = max(0, int((now - datetime.fromisoformat(timestamp)).total_seconds()))
    for unit, size, most in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172800)):
        if seconds < most:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def _gpus(container: Mapping[str, Any]) -> int:
    resources = container.get("resources") or {}
    requested = (resources.get("requests") or {}).get(GPU)
    value = requested or (resources.get("limits") or {}).get(GPU) or "0"
    try:
        return int(Decimal(str(value)))
    except InvalidOperation:
        return 0
