"""PersistentVolumeClaims: bound, provisioned and grown in the super cluster; the result goes up."""

from kube.objects import Object, ObjectKey
from kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_SNAPSHOTS
from syncer.kinds.mirror import (
    DownwardKind,
    Link,
    Refused,
    Target,
    Write,
    body,
    merge_patch,
    metadata_patch,
    super_metadata,
    with_digest,
)
from syncer.kinds.offers import Offers
from vcluster.api import Tenant

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
"""Deprecated, but still obeyed, and before the field."""
# By these the volume controllers talk to each other. A claim that says itself that it is bound would be
# given the volume that it names unchecked.
CONTROLLERS_PREFIXES = ("pv.kubernetes.io/", "volume.kubernetes.io/")
CONTROLLERS_KEYS = frozenset({"volume.beta.kubernetes.io/storage-provisioner"})
# No API server lets them change. A claim is never deleted to change one: its data would go with it.
FIXED = ("accessModes", "dataSource", "dataSourceRef", "selector", "storageClassName", "volumeMode")

# The tenant's own controllers know which of its pods use the claim, and say so.
TENANTS_CONDITIONS = frozenset({"Unused"})


def admitted(claim: Object, offers: Offers) -> Object:
    """The claim as it may be created below, with a class. Raises Refused for one not offered."""
    spec: Object = claim.get("spec") or {}
    annotated = (claim["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    if annotated is not None:
        _refuse_class(f"metadata.annotations[{CLASS_ANNOTATION}]", annotated, offers)
    named = spec.get("storageClassName")
    if named is not None:
        _refuse_class("spec.storageClassName", named, offers)
    if named is not None or annotated is not None:
        return claim
    if not offers.default_storage_class:
        raise Refused(
            "spec.storageClassName",
            "NotOffered",
            f"the claim names no class, and none is the default; {_offered(offers)}",
        )
    return claim | {"spec": spec | {"storageClassName": offers.default_storage_class}}


def to_super(claim: Object, tenant: Tenant) -> Object:
    """The super claim for a tenant's claim."""
    spec: Object = claim.get("spec") or {}
    _refuse_annotations(claim["metadata"].get("annotations") or {})
    _refuse_source(spec, tenant)
    if name := spec.get("volumeAttributesClassName"):
        raise Refused(
            "spec.volumeAttributesClassName",
            "NotOffered",
            f"{name!r} is not offered here: no such classes are; leave the field empty",
        )
    # The volume's name comes from below once the claim is bound: it must not lead to another write.
    wanted = with_digest(
        {
            "apiVersion": PERSISTENT_VOLUME_CLAIMS.api_version,
            "kind": PERSISTENT_VOLUME_CLAIMS.kind,
            "metadata": super_metadata(claim, tenant),
            **body(claim),
            "spec": {key: value for key, value in spec.items() if key != "volumeName"},
        }
    )
    if volume_name := spec.get("volumeName"):
        # A claim whose mirror was lost asks for its own volume again, never for an empty new one.
        wanted["spec"]["volumeName"] = volume_name
    return wanted


def patch(live: Object, wanted: Object) -> Object | None:
    """What differs: the size, labels, annotations, and whatever future versions let change."""
    live_spec: Object = live.get("spec") or {}
    wanted_spec: Object = wanted.get("spec") or {}
    # Bound once for all; and the tenant may see the volume under another name.
    kept = (*FIXED, "volumeName") if live_spec.get("volumeName") else FIXED
    change: Object = {}
    if spec := merge_patch(
        {key: value for key, value in live_spec.items() if key in wanted_spec and key not in kept},
        {key: value for key, value in wanted_spec.items() if key not in kept},
    ):
        change["spec"] = spec
    if metadata := metadata_patch(live, wanted):
        change["metadata"] = metadata
    others = {key: value for key, value in body(wanted).items() if key != "spec"}
    change |= merge_patch({key: live.get(key) for key in others}, others) or {}
    return change or None


def to_tenant(mirror: Object, claim: Object, tenant: Tenant) -> list[Write]:
    """The volume, the class and the status that the super cluster gave, in the binder's order.

    The mirror names the volume as the tenant sees it.
    """
    given: Object = mirror.get("spec") or {}
    have: Object = claim.get("spec") or {}
    spec = {
        field: given[field]
        for field in ("volumeName", "storageClassName")
        if given.get(field) and not have.get(field)
    }
    if CLASS_ANNOTATION in (claim["metadata"].get("annotations") or {}):
        spec.pop("storageClassName", None)  # once named there, the field stays as it is
    writes = [Write("", {"spec": spec})] if spec else []
    have_status, given_status = claim.get("status") or {}, mirror.get("status") or {}
    if status := merge_patch(have_status, _status(have_status, given_status)):
        writes.append(Write("status", {"status": status}))
    return writes


def _status(have: Object, given: Object) -> Object:
    """The status from below, with the conditions merged by type: each has one owner."""
    conditions = [
        condition
        for side, tenants in ((given, False), (have, True))
        for condition in side.get("conditions") or ()
        if (condition.get("type") in TENANTS_CONDITIONS) is tenants
    ]
    others = {field: value for field, value in given.items() if field != "conditions"}
    return others | ({"conditions": conditions} if conditions else {})


def _refuse_class(field: str, name: str, offers: Offers) -> None:
    if name not in offers.storage_classes:
        raise Refused(field, "NotOffered", f"{name!r} is not offered here; {_offered(offers)}")


def _offered(offers: Offers) -> str:
    return f"offered: {', '.join(sorted(offers.storage_classes)) or 'none'}"


def _refuse_annotations(annotations: Object) -> None:
    for key in annotations:
        if key.startswith(CONTROLLERS_PREFIXES) or key in CONTROLLERS_KEYS:
            raise Refused(
                "metadata.annotations",
                "ReservedKey",
                f"{key!r} is set by the cluster that binds the claim; remove it",
            )


def _refuse_source(spec: Object, tenant: Tenant) -> None:
    """Raise Refused for contents from anything but a claim or a snapshot beside this one."""
    for field in ("dataSource", "dataSourceRef"):
        source: Object = spec.get(field) or {}
        if source.get("namespace"):
            raise Refused(
                f"spec.{field}.namespace",
                "ForeignSource",
                f"{source['namespace']!r}: a claim is filled from its own namespace only; "
                "leave the field empty",
            )
        known = {("", "PersistentVolumeClaim")}
        if tenant.sync.volume_snapshots:
            known.add((VOLUME_SNAPSHOTS.group, VOLUME_SNAPSHOTS.kind))
        if source and (source.get("apiGroup") or "", source.get("kind")) not in known:
            kind = ".".join(filter(None, (source.get("kind"), source.get("apiGroup"))))
            raise Refused(
                f"spec.{field}",
                "NotServed",
                f"{kind!r} is not known where volumes are made; name a PersistentVolumeClaim",
            )


def _volume_of(mirror: Object) -> Target | None:
    name = (mirror.get("spec") or {}).get("volumeName")
    return Target(ObjectKey("", name)) if name else None


def _with_volume(mirror: Object, key: ObjectKey, _uid: str) -> Object:
    return mirror | {"spec": mirror["spec"] | {"volumeName": key.name}}


PERSISTENT_VOLUME_CLAIM = DownwardKind(
    resource=PERSISTENT_VOLUME_CLAIMS,
    to_super=to_super,
    patch=patch,
    to_tenant=to_tenant,
    admitted=admitted,
    link=Link(PERSISTENT_VOLUMES, target=_volume_of, replaced=_with_volume),
)
