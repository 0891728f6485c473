"""CustomResourceDefinitions of the types that the provider offers: the tenant gets the type as well."""

from kube.objects import Object
from kube.resources import CUSTOM_RESOURCE_DEFINITIONS
from syncer.kinds.mirror import UpwardKind, Write, digest, is_marked, object_patch, tenant_metadata
from vcluster.api import Tenant


def to_tenant(source: Object, tenant: Tenant) -> Object | None:
    """The definition with the one version that the options name; None if it has no such.

    A conversion webhook runs in the super cluster, out of the tenant's reach; one version needs none.
    """
    name, spec = source["metadata"]["name"], source["spec"]
    wanted = tenant.sync.definitions.get(name)
    scope = "Cluster" if name in tenant.sync.shown_upward else "Namespaced"
    version = next((one for one in spec["versions"] if one["name"] == wanted), None)
    if version is None or spec["scope"] != scope:
        return None
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": tenant_metadata(source),
        "spec": spec
        | {
            "versions": [version | {"served": True, "storage": True}],
            "conversion": {"strategy": "None"},
        },
    }


def patch(live: Object, wanted: Object) -> list[Write]:
    """What differs. A version that objects are stored in may not be taken away, only no longer served."""
    if not is_marked(live):
        return []
    spec = wanted["spec"]
    named = {version["name"] for version in spec["versions"]}
    stored = set((live.get("status") or {}).get("storedVersions") or ()) - named
    kept = [
        version | {"served": False, "storage": False}
        for version in live["spec"]["versions"]
        if version["name"] in stored
    ]
    change = object_patch(live, wanted | {"spec": spec | {"versions": [*spec["versions"], *kept]}})
    return [Write("", change)] if change else []


def metadata_digest(source: Object) -> str:
    """Of the metadata alone: the generation counts the changes of all the rest."""
    metadata = source["metadata"]
    shown = ("uid", "generation", "labels", "annotations")
    return digest([metadata.get(field) for field in shown])


DEFINITION = UpwardKind(
    resource=CUSTOM_RESOURCE_DEFINITIONS,
    to_tenant=to_tenant,
    patch=patch,
    digest=metadata_digest,
    enabled=lambda tenant: bool(tenant.sync.definitions),
    names=lambda tenant: tenant.sync.definitions,
    metadata_only=True,
    kept=True,
)
