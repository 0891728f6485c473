"""What the provider offers to tenants, from the objects that the super cluster shows. Pure."""

from collections.abc import Mapping

from kube.objects import Object, ObjectKey, decode_object
from kube.resources import (
    DEVICE_CLASSES,
    INGRESS_CLASSES,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    STORAGE_CLASSES,
    VOLUME_SNAPSHOT_CLASSES,
    Resource,
)
from syncer.entries import Entry
from syncer.kinds.classes import is_offered
from syncer.kinds.offers import Offers, default_class
from syncer.runtime.store import ObjectStore
from vcluster import api

RESOURCES = (
    DEVICE_CLASSES,
    INGRESS_CLASSES,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    STORAGE_CLASSES,
    VOLUME_SNAPSHOT_CLASSES,
)
CLASSES = frozenset(resource.plural for resource in RESOURCES)
"""The kinds that make up what is offered to tenants."""


def offers_of(published: Mapping[str, ObjectStore[Entry]]) -> Offers:
    """The classes that the provider has marked as public. ``published``: by plural name of the kind."""

    def public(resource: Resource) -> dict[str, Object]:
        store = published.get(resource.plural)
        if store is None:
            return {}  # an optional kind that nobody has asked for yet
        objects = (decode_object(entry.raw) for entry in store.values())
        return {
            found["metadata"]["name"]: found for found in objects if is_offered(resource, found)
        }

    storage, ingress, snapshot = (
        public(resource) for resource in (STORAGE_CLASSES, INGRESS_CLASSES, VOLUME_SNAPSHOT_CLASSES)
    )
    return Offers(
        priority_classes=frozenset(public(PRIORITY_CLASSES)),
        tenant_priority_class=_tenant_priority_class(published[PRIORITY_CLASSES.plural]),
        runtime_classes={
            name: found.get("handler", "") for name, found in public(RUNTIME_CLASSES).items()
        },
        not_offered_runtime_class=_not_offered(published[RUNTIME_CLASSES.plural]),
        storage_classes=frozenset(storage),
        default_storage_class=default_class(list(storage.values())),
        device_classes=frozenset(public(DEVICE_CLASSES)),
        extended_resources=_extended_resources(published.get(DEVICE_CLASSES.plural)),
        ingress_classes=frozenset(ingress),
        default_ingress_class=default_class(list(ingress.values())),
        snapshot_classes=frozenset(snapshot),
        default_snapshot_class=default_class(list(snapshot.values())),
    )


def _extended_resources(classes: ObjectStore[Entry] | None) -> dict[str, str]:
    found = [decode_object(entry.raw) for entry in classes.values()] if classes is not None else []
    named = {one["metadata"]["name"]: one["spec"].get("extendedResourceName") for one in found}
    return {name: resource for name, resource in named.items() if resource}


def _not_offered(classes: ObjectStore[Entry]) -> str:
    """Not one with another handler, which nodes may have (docs/decisions/0018)."""
    entry = classes.get(ObjectKey("", api.NOT_OFFERED_RUNTIME_CLASS))
    handler = decode_object(entry.raw).get("handler") if entry is not None else ""
    return api.NOT_OFFERED_RUNTIME_CLASS if handler == api.NOT_OFFERED_HANDLER else ""


def _tenant_priority_class(classes: ObjectStore[Entry]) -> str:
    """Not one that preempts: the scheduler's preemption knows no tenants (docs/decisions/0016)."""
    entry = classes.get(ObjectKey("", api.TENANT_PRIORITY_CLASS))
    never = entry is not None and decode_object(entry.raw).get("preemptionPolicy") == "Never"
    return api.TENANT_PRIORITY_CLASS if never else ""
