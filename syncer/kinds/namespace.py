"""Namespaces: a tenant's namespace is a super namespace of another name."""

from kube.objects import Object
from kube.resources import NAMESPACES
from syncer.kinds.mirror import (
    DownwardKind,
    body,
    key_within,
    object_patch,
    refuse_reserved,
    super_metadata,
    with_digest,
)
from vcluster import api
from vcluster.api import Tenant, super_namespace

NAME_LABEL = "kubernetes.io/metadata.name"
"""Set by each API server itself; selectors by it are translated to NAMESPACE_LABEL."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
OWN_DOMAIN = f"namespace.{api.GROUP}"
"""In it are the labels and annotations that a tenant gives its namespaces."""
POD_SECURITY_PREFIX = "pod-security.kubernetes.io/"
POD_SECURITY_LEVELS = ("privileged", "baseline", "restricted")  # from the loosest to the strictest


def to_super(namespace: Object, tenant: Tenant) -> Object:
    """The super namespace for a tenant's namespace."""
    own = namespace["metadata"]
    name, labels = own["name"], own.get("labels") or {}
    renamed = {field: _renamed(f"metadata.{field}", own) for field in ("labels", "annotations")}
    source = namespace | {"metadata": own | renamed}
    metadata = super_metadata(
        source, tenant, name=super_namespace(tenant.key, name), namespaced=False
    )
    metadata["labels"] |= {
        api.NAMESPACE_LABEL: name,
        f"{POD_SECURITY_PREFIX}enforce": stricter(
            labels.get(f"{POD_SECURITY_PREFIX}enforce", "privileged"), tenant.policy.pod_security
        ),
        f"{POD_SECURITY_PREFIX}enforce-version": "latest",
    }
    wanted = {
        "apiVersion": NAMESPACES.api_version,
        "kind": NAMESPACES.kind,
        "metadata": metadata,
        **body(_without_finalizers(namespace)),
    }
    return with_digest(wanted)


def key_below(key: str) -> str:
    """The key, on a super namespace, of a label or annotation that the tenant gave its namespace.

    Whoever may write on namespaces is trusted there: network policies, webhooks and admission plug-ins of
    the provider go by it. So a tenant's keys have names of their own; its selectors are translated.
    """
    if key == NAME_LABEL:
        return api.NAMESPACE_LABEL
    return key_within(key, OWN_DOMAIN)


def _renamed(field: str, metadata: Object) -> dict[str, str]:
    own: dict[str, str] = metadata.get(field.removeprefix("metadata.")) or {}
    refuse_reserved(field, own)
    return {
        key_below(key): value for key, value in own.items() if key not in (NAME_LABEL, LAST_APPLIED)
    }


def patch(live: Object, wanted: Object) -> Object | None:
    """What differs; the finalizers of the super namespace stay."""
    return object_patch(_without_finalizers(live), wanted)


def stricter(one: str, other: str) -> str:
    """The stricter of two pod security levels; an unknown level counts as the strictest."""
    strictest = len(POD_SECURITY_LEVELS) - 1
    ranks = (
        POD_SECURITY_LEVELS.index(level) if level in POD_SECURITY_LEVELS else strictest
        for level in (one, other)
    )
    return POD_SECURITY_LEVELS[max(ranks)]


def _without_finalizers(namespace: Object) -> Object:
    """Finalizers of the spec belong to each side's own namespace controller."""
    spec = {
        key: value for key, value in (namespace.get("spec") or {}).items() if key != "finalizers"
    }
    others = {key: value for key, value in namespace.items() if key != "spec"}
    return others | {"spec": spec} if spec else others


NAMESPACE = DownwardKind(resource=NAMESPACES, to_super=to_super, patch=patch)
