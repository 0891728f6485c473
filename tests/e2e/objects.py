"""The smallest objects that people write."""

from typing import Any

Object = dict[str, Any]


def pod(name: str, **spec: Any) -> Object:
    """A pod of one container; keywords are fields of its spec."""
    base = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "demo"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": base | spec,
    }


def deployment(name: str, replicas: int = 2, **spec: Any) -> Object:
    """A deployment of such pods, labelled ``app=name``."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod(name, **spec)["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def service(name: str, **spec: Any) -> Object:
    """A service of the pods labelled ``app=name``, port 80."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]} | spec,
    }


def job(name: str, workers: int, annotations: dict[str, str], **spec: Any) -> Object:
    """An indexed job that succeeds if all of its workers do."""
    template = pod(name, **spec)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "completions": workers,
            "parallelism": workers,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {
                "metadata": {"annotations": annotations},
                "spec": template["spec"] | {"restartPolicy": "Never"},
            },
        },
    }
