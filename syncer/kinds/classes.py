"""The provider's classes (storage, priority, runtime) that tenants may see and use."""

from collections.abc import Callable, Collection

from kube.objects import Object
from kube.resources import PRIORITY_CLASSES, RUNTIME_CLASSES, STORAGE_CLASSES, Resource
from syncer.kinds.mirror import (
    Recreate,
    Refused,
    UpwardKind,
    Write,
    body,
    digest,
    is_marked,
    object_patch,
    tenant_metadata,
)
from vcluster import api
from vcluster.api import Tenant

SYSTEM_PREFIX = "system-"
"""Classes that every API server makes for itself."""


def public_kind(
    resource: Resource, immutable: tuple[str, ...], hidden: tuple[str, ...] = ()
) -> UpwardKind:
    """A kind of which tenants see the objects labelled public, all but the ``hidden`` fields.

    The ``immutable`` fields change only by deleting the object and creating it again. A hidden one
    may be inside another (``spec.parameters``).
    """

    def to_tenant(source: Object, _: Tenant) -> Object | None:
        return _shown(source, resource, hidden) if is_offered(resource, source) else None

    def class_digest(source: Object) -> str:
        return digest([is_offered(resource, source), _shown(source, resource, hidden)])

    return UpwardKind(
        resource=resource, to_tenant=to_tenant, patch=_patch(immutable), digest=class_digest
    )


def is_offered(resource: Resource, source: Object) -> bool:
    """The provider has marked the class as public, and pods of it can harm no other tenant.

    The scheduler's preemption knows no tenants: a class whose pods preempt is never offered
    (docs/decisions/0016).
    """
    metadata = source["metadata"]
    if resource is PRIORITY_CLASSES and source.get("preemptionPolicy") != "Never":
        return False
    labels = metadata.get("labels") or {}
    return labels.get(api.PUBLIC_LABEL) == "true" and not metadata["name"].startswith(SYSTEM_PREFIX)


def refuse_class(field: str, name: str, offered: Collection[str]) -> None:
    """Raise Refused for a class that the provider does not offer; an empty name: no class at all."""
    if name in offered:
        return
    said = f"{name!r} is not offered here" if name else "it names no class, and none is the default"
    there = ", ".join(sorted(offered)) or "none"
    raise Refused(field, "NotOffered", f"{said}; offered: {there}")


def _shown(source: Object, resource: Resource, hidden: tuple[str, ...]) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": tenant_metadata(source),
        **_without(body(source), hidden),
    }


def _without(obj: Object, hidden: tuple[str, ...]) -> Object:
    shown: Object = {}
    for field, value in obj.items():
        inside = tuple(
            path.removeprefix(f"{field}.") for path in hidden if path.startswith(f"{field}.")
        )
        if field not in hidden:
            shown[field] = _without(value, inside) if inside and isinstance(value, dict) else value
    return shown


def _patch(immutable: tuple[str, ...]) -> Callable[[Object, Object], list[Write]]:
    def patch(live: Object, wanted: Object) -> list[Write]:
        if not is_marked(live):
            return []
        for field in immutable:
            if live.get(field) != wanted.get(field):
                raise Recreate(field)
        change = object_patch(live, wanted)
        return [Write("", change)] if change else []

    return patch


STORAGE_CLASS = public_kind(
    STORAGE_CLASSES, immutable=("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")
)
PRIORITY_CLASS = public_kind(
    PRIORITY_CLASSES,
    immutable=("value", "preemptionPolicy"),
    # An API server refuses a second global default, so the provider's would either not appear or
    # forbid the tenant one of its own. A default of the super cluster holds below in any case.
    hidden=("globalDefault",),
)
RUNTIME_CLASS = public_kind(RUNTIME_CLASSES, immutable=("handler",))
