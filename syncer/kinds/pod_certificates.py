"""Certificates that a pod mounts: the tenant's own signers issue them, for keys that the syncer makes.

What is asked for, what comes of it, and how it is written follows the kubelet (pkg/kubelet/podcertificate
and pkg/volume/projected of Kubernetes 1.37).
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b

import msgspec

from kube.objects import Object
from kube.resources import POD_CERTIFICATE_REQUESTS

CERTIFICATE_SECRET = "virtualcluster-certificate-"
"""How the names of the super Secrets that hold certificates begin."""
KEYS = "podCertificate"
"""How the names of such keys in a Secret begin; they tell our keys from a tenant's in a message."""
FILES = {"credentialBundlePath": "bundle", "keyPath": "key", "certificateChainPath": "chain"}
DEFAULT_SECONDS = 86400
DENIED, FAILED, ISSUED = "Denied", "Failed", "Issued"

_BLOCK = re.compile(r"-----BEGIN ([^-\r\n]+)-----[ \t\r]*\n(.*?)-----END \1-----", re.DOTALL)
_LINE = 64


class Verdict(msgspec.Struct):
    """The condition that ends a request."""

    type: str
    reason: str = ""
    message: str = ""


class _Status(msgspec.Struct, rename="camel"):
    conditions: list[Verdict] = []
    certificate_chain: str = ""
    begin_refresh_at: datetime | None = None
    not_after: datetime | None = None


class _Metadata(msgspec.Struct):
    name: str


class CertificateRequest(msgspec.Struct):
    """A PodCertificateRequest, as far as it is of interest."""

    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)

    def verdict(self) -> Verdict | None:
        """How it ended; None: it waits for its signer."""
        ends = (DENIED, FAILED, ISSUED)
        return next((item for item in self.status.conditions if item.type in ends), None)


decode_request = msgspec.json.Decoder(CertificateRequest).decode


def certificate_secret_name(pod_uid: str) -> str:
    """The super Secret that holds a pod's certificates. Nobody can guess it before the pod exists."""
    return CERTIFICATE_SECRET + blake2b(pod_uid.encode(), digest_size=8).hexdigest()


def certificate_prefix(volume: str, index: int) -> str:
    """How the keys of one projected source begin: two that are alike get a certificate each."""
    return f"{KEYS}.{volume}.{index}"


def certificate_projections(pod: Object) -> dict[str, Object]:
    """What the pod's volumes ask for, by ``certificate_prefix``."""
    return {
        certificate_prefix(item["name"], index): source["podCertificate"]
        for item in pod["spec"].get("volumes") or ()
        for index, source in enumerate((item.get("projected") or {}).get("sources") or ())
        if source.get("podCertificate")
    }


def certificate_items(prefix: str, asked: Object) -> Iterator[tuple[str, str]]:
    """The keys in the Secret that a projected source mounts, and the paths where."""
    for field, name in FILES.items():
        if path := asked.get(field):
            yield f"{prefix}.{name}", path


def times_key(prefix: str) -> str:
    """The key beside them, which no volume names: when to renew, and when the certificate ends."""
    return f"{prefix}.times"


def certificate_request(
    pod: Object, asked: Object, *, account_uid: str, node_uid: str, pkcs10: bytes
) -> Object:
    """The PodCertificateRequest for one projected source of a pod that is bound."""
    metadata, spec = pod["metadata"], pod["spec"]
    wanted: Object = {
        "signerName": asked["signerName"],
        "podName": metadata["name"],
        "podUID": metadata["uid"],
        "serviceAccountName": spec.get("serviceAccountName", "default"),
        "serviceAccountUID": account_uid,
        "nodeName": spec["nodeName"],
        "nodeUID": node_uid,
        "maxExpirationSeconds": asked.get("maxExpirationSeconds") or DEFAULT_SECONDS,
        "stubPKCS10Request": b64encode(pkcs10).decode(),
    }
    if annotations := asked.get("userAnnotations"):
        wanted["unverifiedUserAnnotations"] = annotations
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": POD_CERTIFICATE_REQUESTS.api_version,
        "kind": POD_CERTIFICATE_REQUESTS.kind,
        "metadata": {
            "generateName": "req-",
            "namespace": metadata["namespace"],
            "ownerReferences": [owner],
        },
        "spec": wanted,
    }


def certificate_data(
    prefix: str, asked: Object, key: str, chain: str, times: tuple[float, float]
) -> dict[str, str]:
    """What a Secret says of one projected source; ``times``: when to renew, when it ends."""
    chain = clean_chain(chain)
    texts = {"bundle": key + chain, "key": key, "chain": chain}
    data = {
        name: texts[name.rpartition(".")[2]] for name, _ in certificate_items(prefix, asked)
    } | {times_key(prefix): " ".join(timestamp(time) for time in times)}
    return {name: b64encode(text.encode()).decode() for name, text in data.items()}


def clean_chain(chain: str) -> str:
    """The certificates, without what stands between them and without headers."""
    found = []
    for _, block in _BLOCK.findall(chain):
        text = "".join("".join(line.split()) for line in block.splitlines() if ":" not in line)
        lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
        found.append(
            "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----\n"])
        )
    return "".join(found)


def read_times(text: str) -> tuple[float, float]:
    """What ``certificate_data`` has written. Raises ValueError."""
    renew, end = text.split(" ")
    return datetime.fromisoformat(renew).timestamp(), datetime.fromisoformat(end).timestamp()


def timestamp(seconds: float) -> str:
    """As API objects write a time, of epoch seconds. Raises ValueError beyond the calendar."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def refusal(namespace: str, name: str, verdict: Verdict) -> str:
    """What a kubelet says of a request that was denied or has failed."""
    ended = "was denied" if verdict.type == DENIED else "failed"
    said = (json.dumps(text, ensure_ascii=False) for text in (verdict.reason, verdict.message))
    return "PodCertificateRequest {}/{} {}, reason={}, message={}".format(
        namespace, name, ended, *said
    )
