"""Custom resources that a class offers: what they name is told by paths, nothing else is known of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from kube.objects import Object
from kube.resources import Resource
from syncer.kinds.classes import public_kind
from syncer.kinds.mirror import (
    DownwardKind,
    Refused,
    UpwardKind,
    Write,
    body,
    merge_patch,
    metadata_patch,
    status_writes,
    super_metadata,
    with_digest,
)
from syncer.kinds.pod_containers import config_map_name
from syncer.kinds.pod_volumes import Reference
from vcluster import api
from vcluster.api import Tenant, super_namespace
from vcluster.sync import CustomResource

FIELDS_ANNOTATION = f"{api.PREFIX}fields"
"""Which fields of a mirror, and of its spec, came from the tenant (JSON); a controller added others."""
ON_DEMAND = {"ConfigMap": "configmaps", "Secret": "secrets"}


def resource_of(offered: CustomResource) -> Resource:
    """Where it is served. Two versions of one type are two kinds to us."""
    plural = f"{offered.plural}.{offered.version}.{offered.group}"
    down = offered.direction == "down"
    return Resource(offered.group, offered.version, plural, offered.kind, namespaced=down)


def custom_resource_down(offered: CustomResource) -> DownwardKind:
    """The kind of a namespaced type. Each tenant's own options say what its objects name."""
    resource = resource_of(offered)

    def to_super(obj: Object, tenant: Tenant) -> Object:
        return _to_super(obj, tenant, resource, _declared(tenant, offered))

    def references(obj: Object, tenant: Tenant) -> tuple[Reference, ...]:
        return _references(obj, _declared(tenant, offered))

    return DownwardKind(
        resource=resource,
        to_super=to_super,
        patch=patch,
        to_tenant=to_tenant,
        enabled=lambda tenant: _declared(tenant, offered) is not None,
        by_definition=True,
        references=references,
    )


def custom_resource_up(offered: CustomResource) -> UpwardKind:
    """The kind of a cluster-scoped type, of which tenants see the public objects."""
    return replace(
        public_kind(resource_of(offered), immutable=()),
        enabled=lambda tenant: _declared(tenant, offered) is not None,
        by_definition=True,
    )


def _declared(tenant: Tenant, offered: CustomResource) -> CustomResource | None:
    identity = offered.name, offered.version, offered.direction
    for one in tenant.sync.custom_resources:
        if (one.name, one.version, one.direction) == identity:
            return one
    return None


def _to_super(
    obj: Object, tenant: Tenant, resource: Resource, declared: CustomResource | None
) -> Object:
    if not obj["metadata"].get("namespace"):
        raise Refused("metadata.namespace", "NotServed", "objects of this type are namespaced here")
    changes: dict[str, Callable[[str], str]] = {
        "ConfigMap": lambda name: config_map_name(name) or name,
        "Namespace": lambda name: super_namespace(tenant.key, name),
    }
    content = body(obj)
    for reference in declared.references if declared else ():
        if change := changes.get(reference.kind):
            content = _replaced(content, reference.path.split("."), change)
    metadata = super_metadata(obj, tenant)
    metadata["annotations"][FIELDS_ANNOTATION] = msgspec.json.encode(_fields(content)).decode()
    return with_digest(
        {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": metadata,
            **content,
        }
    )


def patch(live: Object, wanted: Object) -> Object | None:
    """What differs; what controllers of the super cluster have added to object and spec stays."""
    annotations = live["metadata"].get("annotations") or {}
    want = body(wanted)
    ours = {*_fields(want), *_remembered(annotations.get(FIELDS_ANNOTATION, ""))}
    have = {key: value for key, value in body(live).items() if key in ours}
    if isinstance(have.get("spec"), dict):
        have["spec"] = {key: value for key, value in have["spec"].items() if f"spec.{key}" in ours}
    change: Object = merge_patch(have, want) or {}
    if metadata := metadata_patch(live, wanted):
        change["metadata"] = metadata
    return change or None


def to_tenant(mirror: Object, obj: Object, tenant: Tenant) -> list[Write]:
    """The status that the super cluster's controllers gave, by the status subresource."""
    return status_writes(mirror, obj, tenant)


def _references(obj: Object, declared: CustomResource | None) -> tuple[Reference, ...]:
    found = {
        (ON_DEMAND[reference.kind], name): None
        for reference in (declared.references if declared else ())
        if reference.kind in ON_DEMAND
        for name in _values(obj, reference.path.split("."))
    }
    return tuple(Reference(kind, name, True) for kind, name in found)


def _fields(content: Object) -> list[str]:
    inside = content.get("spec")
    own = [f"spec.{key}" for key in inside] if isinstance(inside, dict) else []
    return sorted([*content, *own])


def _remembered(annotation: str) -> list[str]:
    try:
        return msgspec.json.decode(annotation, type=list[str])
    except msgspec.MsgspecError:
        return []  # none, or somebody's who meddles with the mirror


def _replaced(value: Any, path: Sequence[str], change: Callable[[str], str]) -> Any:
    """The value with each string at the path changed; what is shaped otherwise stays."""
    if not path:
        return change(value) if isinstance(value, str) and value else value
    name, rest = path[0].removesuffix("[]"), path[1:]
    if not isinstance(value, dict) or name not in value:
        return value
    inside = value[name]
    if not path[0].endswith("[]"):
        return value | {name: _replaced(inside, rest, change)}
    if not isinstance(inside, list):
        return value
    return value | {name: [_replaced(item, rest, change) for item in inside]}


def _values(value: Any, path: Sequence[str]) -> Iterator[str]:
    """The strings at the path."""
    if not path:
        if isinstance(value, str) and value:
            yield value
        return
    inside = value.get(path[0].removesuffix("[]")) if isinstance(value, dict) else None
    if not path[0].endswith("[]"):
        yield from _values(inside, path[1:])
    elif isinstance(inside, list):
        for item in inside:
            yield from _values(item, path[1:])
