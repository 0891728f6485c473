"""What the provider offers to tenants at this moment: its classes, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kube.objects import Object

DEFAULT_CLASS_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
    "ingressclass.kubernetes.io/is-default-class",
    "snapshot.storage.kubernetes.io/is-default-class",
)
"""Each kind of class has its own; none means anything on another kind."""


@dataclass(frozen=True, slots=True)
class Offers:
    """The names of the super cluster's classes that tenants may use."""

    priority_classes: frozenset[str] = frozenset()
    runtime_classes: Mapping[str, str] = field(default_factory=dict)
    """Their handlers, by name."""
    storage_classes: frozenset[str] = frozenset()
    default_storage_class: str = ""
    """Of the storage classes the one for claims that name none; empty: there is no such."""
    ingress_classes: frozenset[str] = frozenset()
    default_ingress_class: str = ""
    device_classes: frozenset[str] = frozenset()
    extended_resources: Mapping[str, str] = field(default_factory=dict)
    """By device class, offered or not: the resource by whose name pods get devices of it as well."""
    snapshot_classes: frozenset[str] = frozenset()
    default_snapshot_class: str = ""
    tenant_priority_class: str = ""
    """The class of pods that name none of the offered ones; empty: there is no such."""
    not_offered_runtime_class: str = ""
    """The class of pods whose handler is not offered, which no node has; empty: there is no such."""


def default_class(classes: Sequence[Object]) -> str:
    """The name of the default among classes: as in Kubernetes the newest, then the first."""
    defaults = [
        found["metadata"]
        for found in classes
        if any(
            (found["metadata"].get("annotations") or {}).get(key) == "true"
            for key in DEFAULT_CLASS_ANNOTATIONS
        )
    ]
    defaults.sort(key=lambda metadata: str(metadata["name"]))
    defaults.sort(key=lambda metadata: str(metadata.get("creationTimestamp", "")), reverse=True)
    return str(defaults[0]["name"]) if defaults else ""
