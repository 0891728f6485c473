"""ConfigMaps and Secrets: they go down under their own names while something uses them."""

from kube.objects import Object
from kube.resources import CONFIG_MAPS, SECRETS
from syncer.kinds.mirror import (
    DownwardKind,
    Recreate,
    Refused,
    body,
    object_patch,
    super_metadata,
    with_digest,
)
from vcluster import api
from vcluster.api import Tenant

SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_PREFIX = "kubernetes.io/service-account."
BOOTSTRAP_TOKEN = "bootstrap.kubernetes.io/token"


def config_map_to_super(config_map: Object, tenant: Tenant) -> Object:
    """The super ConfigMap for a tenant's ConfigMap.

    The root CA's goes down under another name: the super cluster publishes its own under that one.
    """
    name = config_map["metadata"]["name"]
    if name == api.MIRRORED_ROOT_CA_CONFIG_MAP:
        raise Refused(
            "metadata.name",
            "ReservedName",
            f"{name!r} is reserved for the copy of {api.ROOT_CA_CONFIG_MAP!r}; choose another name",
        )
    super_name = api.MIRRORED_ROOT_CA_CONFIG_MAP if name == api.ROOT_CA_CONFIG_MAP else name
    wanted = {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": super_metadata(config_map, tenant, name=super_name),
        **body(config_map),
    }
    return with_digest(wanted)


def secret_to_super(secret: Object, tenant: Tenant) -> Object:
    """The super Secret for a tenant's Secret.

    A service account's token becomes Opaque: the super cluster's token controller would delete it,
    since it knows no such account.
    """
    kind, source = secret.get("type", "Opaque"), secret
    if kind == BOOTSTRAP_TOKEN:
        raise Refused(
            "type",
            "BootstrapToken",
            f"secrets of type {kind!r} let nodes join a cluster and cannot be used by pods",
        )
    if kind == SERVICE_ACCOUNT_TOKEN:
        annotations = {
            key: value
            for key, value in (secret["metadata"].get("annotations") or {}).items()
            if not key.startswith(SERVICE_ACCOUNT_PREFIX)
        }
        source = secret | {"metadata": secret["metadata"] | {"annotations": annotations}}
        kind = "Opaque"
    wanted = {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": super_metadata(source, tenant),
        **body(secret),
        "type": kind,
    }
    return with_digest(wanted)


def patch(live: Object, wanted: Object) -> Object | None:
    """What differs. A tenant's object keeps its data once immutable, but one restored from a backup
    may differ under the same UID."""
    if live.get("type") != wanted.get("type"):
        raise Recreate("type")
    change = object_patch(live, wanted)
    if live.get("immutable") and change and change.keys() - {"metadata"}:
        raise Recreate("data")
    return change


CONFIG_MAP = DownwardKind(
    resource=CONFIG_MAPS, to_super=config_map_to_super, patch=patch, on_demand=True
)
SECRET = DownwardKind(resource=SECRETS, to_super=secret_to_super, patch=patch, on_demand=True)
