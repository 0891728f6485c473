"""What the provider offers to tenants at this moment: its classes, by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from kube.objects import Object

DEFAULT_CLASS_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


@dataclass(frozen=True, slots=True)
class Offers:
    """The names of the super cluster's classes that tenants may use."""

    priority_classes: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()
    storage_classes: frozenset[str] = frozenset()
    default_storage_class: str = ""
    """Of the storage classes the one for claims that name none; empty: there is no such."""


def default_class(storage_classes: Sequence[Object]) -> str:
    """The name of the default among storage classes: as in Kubernetes the newest, then the first."""
    defaults = [
        storage_class["metadata"]
        for storage_class in storage_classes
        if any(
            (storage_class["metadata"].get("annotations") or {}).get(key) == "true"
            for key in DEFAULT_CLASS_ANNOTATIONS
        )
    ]
    defaults.sort(key=lambda metadata: str(metadata["name"]))
    defaults.sort(key=lambda metadata: str(metadata.get("creationTimestamp", "")), reverse=True)
    return str(defaults[0]["name"]) if defaults else ""
