"""The volumes of a super pod, and what a pod needs to exist before it can start."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from kube.objects import Object
from syncer.kinds.pod_certificates import (
    certificate_items,
    certificate_prefix,
    certificate_secret_name,
)
from syncer.kinds.pod_containers import config_map_name
from syncer.kinds.pod_downward_api import field_reference
from syncer.kinds.trust_bundles import TrustRequest, trust_request, trust_secret_name

if TYPE_CHECKING:
    from syncer.kinds.pod import TokenRequest


TOKEN_SECRET = "virtualcluster-token-"
"""How the names of the super Secrets that hold tokens begin."""

OWN_FILES_MODE = 0o600
"""Of tokens, certificates and trust bundles in a pod with ``fsGroup``; the kubelet then lets that group read
them."""


class Reference(NamedTuple):
    """A ConfigMap, Secret or claim, by the tenant's name, in the pod's namespace."""

    kind: str
    name: str
    optional: bool


def token_secret_name(pod_uid: str) -> str:
    """The super Secret that holds a pod's tokens. Nobody can guess it before the pod exists."""
    return TOKEN_SECRET + blake2b(pod_uid.encode(), digest_size=8).hexdigest()


def own_secret_names(pod_uid: str) -> tuple[str, ...]:
    """The super Secrets that are a pod's own, if it has them."""
    return (
        token_secret_name(pod_uid),
        trust_secret_name(pod_uid),
        certificate_secret_name(pod_uid),
    )


def volume(
    item: Object, pod: Object, tokens: Sequence["TokenRequest"], bundles: Sequence[TrustRequest]
) -> Object:
    """A volume of a pod as it goes down."""
    if reference := item.get("configMap"):
        renamed = reference | {"name": config_map_name(reference.get("name"))}
        return item | {"configMap": renamed}
    if "downwardAPI" in item:
        return item | {"downwardAPI": _downward_api(item["downwardAPI"])}
    if "projected" in item:
        projected = item["projected"]
        sources = [
            _projection(source, certificate_prefix(item["name"], index), pod, tokens, bundles)
            for index, source in enumerate(projected.get("sources") or ())
        ]
        return item | {"projected": projected | {"sources": sources}}
    if "ephemeral" in item:
        # The tenant's controllers have made the claim: a second one must not come into being.
        rest = {name: value for name, value in item.items() if name != "ephemeral"}
        return rest | {
            "persistentVolumeClaim": {"claimName": _own_claim(pod["metadata"]["name"], item)}
        }
    return item


def _own_claim(pod_name: str, item: Object) -> str:
    """The claim that Kubernetes makes for a generic ephemeral volume."""
    return f"{pod_name}-{item['name']}"


def _projection(
    source: Object,
    prefix: str,
    pod: Object,
    tokens: Sequence["TokenRequest"],
    bundles: Sequence[TrustRequest],
) -> Object:
    pod_uid = pod["metadata"]["uid"]
    if asked := source.get("serviceAccountToken"):
        wanted = (asked.get("audience", ""), asked.get("expirationSeconds") or 3600)
        index = [token.unique for token in tokens].index(wanted)
        item = {"key": f"token-{index}", "path": asked["path"], **_mode(pod)}
        return {"secret": {"name": token_secret_name(pod_uid), "items": [item]}}
    if asked := source.get("clusterTrustBundle"):
        index = bundles.index(trust_request(asked))
        item = {"key": f"trust-{index}", "path": asked["path"], **_mode(pod)}
        return {"secret": {"name": trust_secret_name(pod_uid), "items": [item]}}
    if asked := source.get("podCertificate"):
        items = [
            {"key": key, "path": path, **_mode(pod)}
            for key, path in certificate_items(prefix, asked)
        ]
        return {"secret": {"name": certificate_secret_name(pod_uid), "items": items}}
    if reference := source.get("configMap"):
        return source | {"configMap": reference | {"name": config_map_name(reference.get("name"))}}
    if "downwardAPI" in source:
        return source | {"downwardAPI": _downward_api(source["downwardAPI"])}
    return source


def _mode(pod: Object) -> Object:
    """As kubelets write such files (pkg/volume/projected), as far as a Secret's can be the same.

    Where all containers run as one user and there is no ``fsGroup``, a kubelet gives the files to that
    user alone. A Secret's belong to root, so they stay readable for everybody in the pod.
    """
    context = pod["spec"].get("securityContext") or {}
    return {"mode": OWN_FILES_MODE} if context.get("fsGroup") is not None else {}


def _downward_api(source: Object) -> Object:
    items = [
        item | {"fieldRef": field_reference(item["fieldRef"])} if item.get("fieldRef") else item
        for item in source.get("items") or ()
    ]
    return source | {"items": items}


def references(pod: Object) -> tuple[Reference, ...]:
    """What the pod names and has to be there, each once; optional only if always so."""
    found: dict[tuple[str, str], bool] = {}
    for kind, name, optional in _all_references(pod["metadata"]["name"], pod["spec"]):
        if name:
            found[kind, name] = found.get((kind, name), True) and optional
    return tuple(Reference(kind, name, optional) for (kind, name), optional in found.items())


def _all_references(pod_name: str, spec: Object) -> Iterator[tuple[str, str, bool]]:
    for reference in spec.get("imagePullSecrets") or ():
        yield "secrets", reference.get("name", ""), True  # the kubelet goes on without it
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for item in spec.get(kind) or ():
            yield from _container_references(item)
    for item in spec.get("volumes") or ():
        yield from _volume_references(item)
        if claim := item.get("persistentVolumeClaim"):
            yield "persistentvolumeclaims", claim.get("claimName") or "", False
        elif "ephemeral" in item:
            yield "persistentvolumeclaims", _own_claim(pod_name, item), False


def _container_references(item: Object) -> Iterator[tuple[str, str, bool]]:
    for variable in item.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield from _named(source.get("configMapKeyRef"), "configmaps")
        yield from _named(source.get("secretKeyRef"), "secrets")
    for source in item.get("envFrom") or ():
        yield from _named(source.get("configMapRef"), "configmaps")
        yield from _named(source.get("secretRef"), "secrets")


def _volume_references(item: Object) -> Iterator[tuple[str, str, bool]]:
    yield from _named(item.get("configMap"), "configmaps")
    for source in (item.get("projected") or {}).get("sources") or ():
        yield from _named(source.get("configMap"), "configmaps")
        yield from _named(source.get("secret"), "secrets")
    for source in item.values():
        # secret.secretName, azureFile.secretName; secretRef of rbd, iscsi, cephfs, flexVolume …;
        # nodePublishSecretRef of csi: every volume type names its secret in one of these ways.
        if isinstance(source, dict):
            optional = bool(source.get("optional", False))
            yield "secrets", source.get("secretName") or "", optional
            for field in ("secretRef", "nodePublishSecretRef"):
                yield from _named(source.get(field), "secrets")


def _named(reference: Any, kind: str) -> Iterator[tuple[str, str, bool]]:
    if reference:
        yield kind, reference.get("name") or "", bool(reference.get("optional", False))
