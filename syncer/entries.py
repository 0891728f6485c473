"""What is remembered of an object: identity, version, marks, digests. Never more than is needed.

A pod costs 0.2-0.4 KB here, against 17-40 KB as decoded JSON (docs/decisions/0002).
"""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from kube.objects import Metadata, ObjectKey
from syncer.kinds.pod import NODE_LABELS
from vcluster import api

intern = sys.intern


class Entry(msgspec.Struct, gc=False):
    """An object of any kind, on either side. The marks are empty on a tenant's own object."""

    uid: str
    version: int
    deleting: bool
    tenant: str
    """Super side: the key of the tenant; empty if the object carries no UID mark."""
    source: ObjectKey
    """Super side: the tenant's namespace and name of it."""
    source_uid: str
    digest: str
    """Super side: of the wanted object; on a token Secret instead: when it is due for renewal."""
    component: str
    raw: bytes
    """Small kinds keep their bytes; kinds that come in masses do not."""
    written: int = 0
    """Super side: the version that our last write made; another one means somebody else wrote."""


class _Head(msgspec.Struct, gc=False):
    metadata: Metadata


_decode_head = msgspec.json.Decoder(_Head).decode


def entry_decoder(*, keep_bytes: bool) -> Callable[[bytes], tuple[ObjectKey, Entry]]:
    """A decoder of entries, with or without the object's bytes."""

    def decode(raw: bytes) -> tuple[ObjectKey, Entry]:
        metadata = _decode_head(raw).metadata
        marks = metadata.annotations
        source_uid = marks.get(api.UID_ANNOTATION, "")
        return ObjectKey(intern(metadata.namespace), metadata.name), Entry(
            uid=metadata.uid,
            version=int(metadata.resource_version or 0),
            deleting=metadata.deletion_timestamp is not None,
            tenant=intern(metadata.labels.get(api.TENANT_LABEL, "")) if source_uid else "",
            source=ObjectKey(
                intern(marks.get(api.NAMESPACE_ANNOTATION, "")), marks.get(api.NAME_ANNOTATION, "")
            ),
            source_uid=source_uid,
            digest=marks.get(api.DIGEST_ANNOTATION) or marks.get(api.EXPIRES_ANNOTATION, ""),
            component=intern(metadata.labels.get(api.COMPONENT_LABEL, "")),
            raw=raw if keep_bytes else b"",
        )

    return decode


def renewal_time(mark: str) -> float:
    """When a token Secret says that it is due, in epoch seconds; 0 if it says nothing."""
    try:
        return datetime.fromisoformat(mark).timestamp()
    except ValueError:
        return 0.0


class TenantPod(msgspec.Struct, gc=False):
    """A tenant's pod."""

    uid: str
    version: int
    generation: int
    mutable: int
    """Hash of all that a tenant may change after creation; means nothing in another process."""
    node: str
    scheduled: bool
    """It has been bound by us: only then does a missing super pod mean that it vanished."""
    finished: bool
    deleting: bool
    grace: int | None
    gated: bool
    """It declares readiness gates, whose conditions are the tenant's own."""
    disrupted: bool
    """It has been evicted through the tenant's own API server."""
    qos: str
    priority: int = 0
    """By the tenant's own classes; it orders the tenant's pods only."""
    claims: str = ""
    """What its status says of the claims that were made of its templates, as JSON; empty: nothing."""
    preempts: bool = True
    """It may take the place of the tenant's pods of lower priority."""
    synced: int = 0
    """The value of ``mutable`` that the super pod is known to show."""
    removed: bool = False
    """We have asked for its final removal; what is left of it waits for finalizers."""


class SuperPod(msgspec.Struct, gc=False):
    """A super pod of a tenant."""

    uid: str
    version: int
    tenant: str
    source: ObjectKey
    source_uid: str
    digest: str
    node: str
    status: int
    """Hash of the status' bytes; means nothing in another process."""
    deleting: bool
    grace: int | None
    gang: str
    """The gang that it belongs to; empty: none."""
    devices: str
    """The names of the devices that it asks for; empty: none."""
    named: str
    """A digest of the nodes that it names because of what the tenant says of them; empty: none."""
    asked: str
    """The only node that it was made for, because the tenant's pod names it; empty: for any."""
    handler: str
    """The handler that the tenant asks for and the provider does not offer; empty: none."""
    reported: int = 0
    """The value of ``status`` that the tenant's pod is known to show."""


class _PodMetadata(msgspec.Struct, gc=False, rename="camel"):
    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: msgspec.Raw = msgspec.Raw()
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class _PodSpec(msgspec.Struct, gc=False, rename="camel"):
    """The fields that the API server lets change, besides metadata; resize is in containers."""

    containers: msgspec.Raw = msgspec.Raw()
    init_containers: msgspec.Raw = msgspec.Raw()
    ephemeral_containers: msgspec.Raw = msgspec.Raw()
    tolerations: msgspec.Raw = msgspec.Raw()
    scheduling_gates: msgspec.Raw = msgspec.Raw()
    node_selector: msgspec.Raw = msgspec.Raw()
    affinity: msgspec.Raw = msgspec.Raw()
    resources: msgspec.Raw = msgspec.Raw()
    readiness_gates: msgspec.Raw = msgspec.Raw()
    active_deadline_seconds: int | None = None
    termination_grace_period_seconds: int | None = None
    node_name: str = ""
    priority: int | None = None
    preemption_policy: str | None = None


class _PodCondition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""


class _PodStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = ""
    qos_class: str = ""
    conditions: list[_PodCondition] | None = None
    resource_claim_statuses: msgspec.Raw = msgspec.Raw()


class _TenantPodView(msgspec.Struct, gc=False):
    metadata: _PodMetadata
    spec: _PodSpec
    status: _PodStatus = _PodStatus()


class _SuperPodSpec(msgspec.Struct, gc=False, rename="camel"):
    node_name: str = ""


class _SuperPodView(msgspec.Struct, gc=False):
    metadata: Metadata
    spec: _SuperPodSpec
    status: msgspec.Raw = msgspec.Raw()


_decode_tenant_pod = msgspec.json.Decoder(_TenantPodView).decode
_decode_super_pod = msgspec.json.Decoder(_SuperPodView).decode


def decode_tenant_pod(raw: bytes) -> tuple[ObjectKey, TenantPod]:
    """The entry of a tenant's pod."""
    view = _decode_tenant_pod(raw)
    metadata, spec, status = view.metadata, view.spec, view.status
    return ObjectKey(intern(metadata.namespace), metadata.name), TenantPod(
        uid=metadata.uid,
        version=int(metadata.resource_version),
        generation=metadata.generation,
        mutable=_mutable_hash(metadata, spec),
        node=intern(spec.node_name),
        scheduled=any(
            condition.type == "PodScheduled" and condition.status == "True"
            for condition in status.conditions or ()
        ),
        finished=status.phase in ("Succeeded", "Failed"),
        deleting=metadata.deletion_timestamp is not None,
        grace=metadata.deletion_grace_period_seconds,
        gated=bool(bytes(spec.readiness_gates)),
        disrupted=any(item.type == "DisruptionTarget" for item in status.conditions or ()),
        qos=intern(status.qos_class),
        priority=spec.priority or 0,
        claims=bytes(status.resource_claim_statuses).decode(),
        preempts=spec.preemption_policy != "Never",
    )


def decode_super_pod(raw: bytes) -> tuple[ObjectKey, SuperPod]:
    """The entry of a super pod."""
    view = _decode_super_pod(raw)
    metadata = view.metadata
    marks = metadata.annotations
    source_uid = marks.get(api.UID_ANNOTATION, "")
    return ObjectKey(intern(metadata.namespace), metadata.name), SuperPod(
        uid=metadata.uid,
        version=int(metadata.resource_version),
        tenant=intern(metadata.labels.get(api.TENANT_LABEL, "")) if source_uid else "",
        source=ObjectKey(intern(marks.get(api.NAMESPACE_ANNOTATION, "")), metadata.name),
        source_uid=source_uid,
        digest=marks.get(api.DIGEST_ANNOTATION, ""),
        node=intern(view.spec.node_name),
        status=hash(bytes(view.status)),
        deleting=metadata.deletion_timestamp is not None,
        grace=metadata.deletion_grace_period_seconds,
        gang=intern(marks.get(api.GANG_MARK_ANNOTATION, "")),
        devices=intern(marks.get(api.DEVICES_ANNOTATION, "")),
        named=intern(marks.get(api.VIRTUAL_NODES_ANNOTATION, "")),
        asked=intern(marks.get(api.NODE_NAME_ANNOTATION, "")),
        handler=intern(marks.get(api.HANDLER_ANNOTATION, "")),
    )


def _mutable_hash(metadata: _PodMetadata, spec: _PodSpec) -> int:
    parts: tuple[Any, ...] = (
        frozenset(item for item in metadata.labels.items() if item[0] not in NODE_LABELS),
        bytes(metadata.annotations),
        bytes(spec.containers),
        bytes(spec.init_containers),
        bytes(spec.ephemeral_containers),
        bytes(spec.tolerations),
        bytes(spec.scheduling_gates),
        bytes(spec.node_selector),
        bytes(spec.affinity),
        bytes(spec.resources),
        spec.active_deadline_seconds,
        spec.termination_grace_period_seconds,
    )
    return hash(parts) or 1
