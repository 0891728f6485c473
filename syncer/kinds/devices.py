"""What there is to claim, by option: the provider's device classes, and the devices of nodes."""

from dataclasses import replace

from kube.objects import Object
from kube.resources import DEVICE_CLASSES, RESOURCE_SLICES
from syncer.kinds.classes import public_kind
from syncer.kinds.mirror import (
    Recreate,
    UpwardKind,
    Write,
    body,
    digest,
    is_marked,
    object_patch,
    tenant_metadata,
)
from vcluster.api import Tenant


def _is_wanted(tenant: Tenant) -> bool:
    return tenant.sync.resource_claims


# The parameters that its drivers get are the provider's own business.
DEVICE_CLASS = replace(
    public_kind(DEVICE_CLASSES, immutable=(), hidden=("spec.config",)), enabled=_is_wanted
)


def slice_to_tenant(source: Object, _: Tenant) -> Object:
    """The slice: what devices there are is no secret of anybody who sees the node."""
    return {
        "apiVersion": RESOURCE_SLICES.api_version,
        "kind": RESOURCE_SLICES.kind,
        "metadata": tenant_metadata(source),
        **body(source),
    }


def slice_digest(source: Object) -> str:
    """Of all that is shown."""
    return digest([tenant_metadata(source), body(source)])


def slice_patch(live: Object, wanted: Object) -> list[Write]:
    """What differs; a slice of other devices is another slice."""
    if not is_marked(live):
        return []
    if _identity(live) != _identity(wanted):
        raise Recreate("spec")
    change = object_patch(live, wanted)
    return [Write("", change)] if change else []


def node_of(source: Object) -> str:
    """The node whose devices these are; empty for devices that nodes reach over a network."""
    return str((source.get("spec") or {}).get("nodeName") or "")


def _identity(obj: Object) -> tuple[object, ...]:
    """What no API server lets change."""
    spec: Object = obj.get("spec") or {}
    return spec.get("driver"), spec.get("nodeName"), (spec.get("pool") or {}).get("name")


RESOURCE_SLICE = UpwardKind(
    resource=RESOURCE_SLICES,
    to_tenant=slice_to_tenant,
    patch=slice_patch,
    digest=slice_digest,
    node=node_of,
    enabled=_is_wanted,
)
