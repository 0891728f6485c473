"""ClusterTrustBundles that a pod mounts: the tenant's own, not those of the cluster that runs it.

Their certificates go into a super Secret, from which the pod's volume takes them. What is selected,
and how it is written, follows the kubelet (pkg/kubelet/clustertrustbundle of Kubernetes 1.37).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from kube.objects import Object

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_OPERATORS = {"In": "in", "NotIn": "notin"}

TRUST_SECRET = "virtualcluster-trust-"
"""How the names of the super Secrets that hold trust bundles begin."""


@dataclass(frozen=True, slots=True)
class TrustRequest:
    """One bundle by its name, or all of a signer that have certain labels."""

    name: str = ""
    signer: str = ""
    labels: str | None = None
    """As in the query of a list; None matches nothing, and an empty text everything."""
    optional: bool = False
    """An empty file is made if there is no such bundle; else the pod waits for one."""


def trust_secret_name(pod_uid: str) -> str:
    """The super Secret that holds a pod's trust bundles. Nobody can guess it before the pod exists."""
    return TRUST_SECRET + blake2b(pod_uid.encode(), digest_size=8).hexdigest()


def trust_requests(pod: Object) -> list[TrustRequest]:
    """The different bundles that the pod's volumes ask for; the index is the key in the Secret."""
    found: dict[TrustRequest, None] = {}
    for item in pod["spec"].get("volumes") or ():
        for source in (item.get("projected") or {}).get("sources") or ():
            if asked := source.get("clusterTrustBundle"):
                found[trust_request(asked)] = None
    return list(found)


def trust_request(asked: Object) -> TrustRequest:
    """What one projected source asks for."""
    optional = bool(asked.get("optional", False))
    if name := asked.get("name"):
        return TrustRequest(name=name, optional=optional)
    labels = _labels(asked["labelSelector"]) if asked.get("labelSelector") is not None else None
    return TrustRequest(signer=asked.get("signerName", ""), labels=labels, optional=optional)


def trust_anchors(bundles: Iterable[str]) -> str:
    """The certificates of some bundles, each once."""
    blocks = {block: None for bundle in bundles for block in _BLOCK.findall(bundle)}
    return "".join(f"{block}\n" for block in sorted(blocks))


def _labels(selector: Any) -> str:
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for item in selector.get("matchExpressions") or ():
        key, operator = item["key"], item["operator"]
        if operator in _OPERATORS:
            parts.append(f"{key} {_OPERATORS[operator]} ({','.join(item.get('values') or ())})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return ",".join(parts)
