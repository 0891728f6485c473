"""PersistentVolumes: a tenant sees those that its own claims are bound to, without the storage's secrets."""

from typing import Any

from kube.objects import Object, ObjectKey
from kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from syncer.kinds.mirror import (
    Link,
    Recreate,
    Target,
    UpwardKind,
    Write,
    body,
    digest,
    is_marked,
    merge_patch,
    object_patch,
    tenant_metadata,
)
from vcluster import api
from vcluster.api import Tenant

NOT_SOURCE = frozenset(
    {
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    }
)
"""The fields of a spec that do not say where the storage is; each of the others is one volume type."""
# How the storage is reached and by whom: its servers, accounts and paths serve other tenants as well.
# (chapAuth… would ask for a secret.)
HIDDEN_ATTRIBUTES = frozenset(
    {
        "chapAuthDiscovery",
        "chapAuthSession",
        "keyring",
        "options",
        "user",
        "username",
        "volumeAttributes",
    }
)
PLACEHOLDER = "hidden"
CLAIM_FIELDS = ("apiVersion", "kind")
BOUND, RELEASED = "Bound", "Released"


def to_tenant(volume: Object, _tenant: Tenant) -> Object:
    """The volume as a tenant sees it; the link adds whose claim it is bound to."""
    return _shown(volume)


def patch(live: Object, wanted: Object) -> list[Write]:
    """The writes to the tenant's copy. Raises Recreate."""
    if not is_marked(live):
        return []
    # Of what is hidden the tenant's API server fills in its own defaults (rbd).
    live_spec = {
        field: value if field in NOT_SOURCE else _without_secrets(value)
        for field, value in (live.get("spec") or {}).items()
    }
    wanted_spec = wanted.get("spec") or {}
    for field in (live_spec.keys() | wanted_spec.keys()) - NOT_SOURCE | {"volumeMode"}:
        if live_spec.get(field) != wanted_spec.get(field):
            raise Recreate(f"spec.{field}")
    affinity = live_spec.get("nodeAffinity")
    if affinity and affinity != wanted_spec.get("nodeAffinity"):
        raise Recreate("spec.nodeAffinity")
    change = object_patch(live | {"spec": live_spec}, wanted)
    writes = [Write("", change)] if change else []
    if status := merge_patch(live.get("status") or {}, wanted.get("status") or {}):
        writes.append(Write("status", {"status": status}))
    return writes


def released(live: Object) -> list[Write]:
    """What lets the copy go: the tenant's own protection holds back a volume that is bound."""
    if (live.get("status") or {}).get("phase") != BOUND:
        return []
    return [Write("status", {"status": {"phase": RELEASED}})]


def volume_digest(volume: Object) -> str:
    """Of what the tenant is shown, and of whose it is."""
    return digest([(volume.get("spec") or {}).get("claimRef"), _shown(volume)])


def _shown(volume: Object) -> Object:
    # Annotations are how provisioners know their own, and where their secrets are: a program in the
    # tenant must not take the volume for one that it has made.
    bare = volume["metadata"] | {"annotations": {}}
    metadata = tenant_metadata(volume | {"metadata": bare})
    metadata["annotations"][api.NAME_ANNOTATION] = volume["metadata"]["name"]
    shown: Object = {
        "apiVersion": PERSISTENT_VOLUMES.api_version,
        "kind": PERSISTENT_VOLUMES.kind,
        "metadata": metadata,
        **body(volume),
    }
    if spec := volume.get("spec"):
        shown["spec"] = {field: _shown_field(field, value) for field, value in spec.items()}
    # The message says what failed in the provider's storage.
    status = {key: value for key, value in (volume.get("status") or {}).items() if key != "message"}
    return shown | ({"status": status} if status else {})


def _shown_field(field: str, value: Any) -> Any:
    if field == "claimRef":
        return {name: value[name] for name in CLAIM_FIELDS if name in value}
    return value if field in NOT_SOURCE else _without_secrets(value)


def _without_secrets(source: Any) -> Any:
    """A volume's source, without references to secrets and without what they open."""
    if isinstance(source, list):
        return [_without_secrets(item) for item in source]
    if not isinstance(source, dict):
        return source
    shown = {
        key: _without_secrets(value)
        for key, value in source.items()
        if key not in HIDDEN_ATTRIBUTES and "secret" not in key.lower()
    }
    if "secretName" in source:  # an API server wants one (azureFile)
        shown["secretName"] = PLACEHOLDER
    return shown


def _claim_of(volume: Object) -> Target | None:
    claim = (volume.get("spec") or {}).get("claimRef") or {}
    if not claim.get("uid"):
        return None  # reserved at most, not bound
    return Target(ObjectKey(claim.get("namespace", ""), claim.get("name", "")), claim["uid"])


def _bound_to(shown: Object, key: ObjectKey, uid: str) -> Object:
    spec = shown["spec"]
    claim = spec["claimRef"] | {"namespace": key.namespace, "name": key.name, "uid": uid}
    return shown | {"spec": spec | {"claimRef": claim}}


PERSISTENT_VOLUME = UpwardKind(
    resource=PERSISTENT_VOLUMES,
    to_tenant=to_tenant,
    patch=patch,
    digest=volume_digest,
    link=Link(PERSISTENT_VOLUME_CLAIMS, target=_claim_of, replaced=_bound_to),
    released=released,
)
