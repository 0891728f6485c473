"""VolumeSnapshots of the tenant's claims, by option; the provider's classes of them."""

from dataclasses import replace

from kube.objects import Object
from kube.resources import VOLUME_SNAPSHOT_CLASSES, VOLUME_SNAPSHOTS
from syncer.kinds.classes import public_kind, refuse_class
from syncer.kinds.mirror import (
    DownwardKind,
    Refused,
    Write,
    body,
    patch_beside_spec,
    status_writes,
    super_metadata,
    with_digest,
)
from syncer.kinds.offers import Offers
from vcluster.api import Tenant


def admitted(snapshot: Object, offers: Offers) -> Object:
    """The snapshot with a class. Raises Refused for one that is not offered."""
    spec: Object = snapshot.get("spec") or {}
    name = spec.get("volumeSnapshotClassName") or offers.default_snapshot_class
    refuse_class("spec.volumeSnapshotClassName", name, offers.snapshot_classes)
    return snapshot | {"spec": spec | {"volumeSnapshotClassName": name}}


def to_super(snapshot: Object, tenant: Tenant) -> Object:
    """The super VolumeSnapshot for a tenant's."""
    source: Object = (snapshot.get("spec") or {}).get("source") or {}
    if content := source.get("volumeSnapshotContentName"):
        raise Refused(
            "spec.source.volumeSnapshotContentName",
            "ForeignSource",
            f"{content!r} is not known to be yours; name a claim in persistentVolumeClaimName",
        )
    wanted = {
        "apiVersion": VOLUME_SNAPSHOTS.api_version,
        "kind": VOLUME_SNAPSHOTS.kind,
        "metadata": super_metadata(snapshot, tenant),
        **body(snapshot),
    }
    return with_digest(wanted)


def to_tenant(mirror: Object, snapshot: Object, tenant: Tenant) -> list[Write]:
    """The status, with the tenant's name of the namespace in messages."""
    return status_writes(mirror, snapshot, tenant)


VOLUME_SNAPSHOT = DownwardKind(
    resource=VOLUME_SNAPSHOTS,
    to_super=to_super,
    patch=patch_beside_spec,  # how it was taken does not change
    to_tenant=to_tenant,
    admitted=admitted,
    enabled=lambda tenant: tenant.sync.volume_snapshots,
    by_definition=True,
)
# The parameters name secrets of the provider's.
VOLUME_SNAPSHOT_CLASS = replace(
    public_kind(VOLUME_SNAPSHOT_CLASSES, immutable=("driver",), hidden=("parameters",)),
    enabled=lambda tenant: tenant.sync.volume_snapshots,
    by_definition=True,
)
