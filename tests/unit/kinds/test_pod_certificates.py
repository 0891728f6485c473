"""What a pod asks of its cluster's signers, and how what they answer is written."""

from base64 import b64decode, b64encode
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kube.objects import Object, encode
from syncer.kinds.pod_certificates import (
    Verdict,
    certificate_data,
    certificate_projections,
    certificate_request,
    clean_chain,
    decode_request,
    read_times,
    refusal,
)
from syncer.private_keys import make_key
from tests.signer import Signer
from tests.unit.kinds.pod_builders import a_pod

ASKED = {
    "signerName": "signer.example.com/spiffe",
    "keyType": "ECDSAP256",
    "credentialBundlePath": "bundle.pem",
}


def block(text: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


def a_bound_pod(*sources: Object, **spec: Any) -> Object:
    volumes = [{"name": "tls", "projected": {"sources": [*sources]}}]
    return a_pod(volumes=volumes, nodeName="node-1", **spec)


def requested(pod: Object, asked: Object) -> Object:
    return certificate_request(
        pod, asked, account_uid="uid-of-account", node_uid="uid-of-node", pkcs10=b"signed"
    )


def test_each_source_gets_a_certificate_of_its_own() -> None:
    secret, again = {"secret": {"name": "s"}}, {"podCertificate": ASKED}
    pod = a_bound_pod(secret, {"podCertificate": ASKED}, again)
    pod["spec"]["volumes"] += [{"name": "e", "emptyDir": {}}, {"name": "p", "projected": {}}]
    assert certificate_projections(pod) == {
        "podCertificate.tls.1": ASKED,
        "podCertificate.tls.2": ASKED,
    }


def test_a_request_says_what_a_kubelet_would_say() -> None:
    pod = a_bound_pod({"podCertificate": ASKED}, serviceAccountName="robot")
    metadata = pod["metadata"]
    found = requested(pod, ASKED)
    assert found["metadata"] == {
        "generateName": "req-",
        "namespace": metadata["namespace"],
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "uid": metadata["uid"],
            }
        ],
    }
    assert found["spec"] == {
        "signerName": "signer.example.com/spiffe",
        "podName": metadata["name"],
        "podUID": metadata["uid"],
        "serviceAccountName": "robot",
        "serviceAccountUID": "uid-of-account",
        "nodeName": "node-1",
        "nodeUID": "uid-of-node",
        "maxExpirationSeconds": 86400,
        "stubPKCS10Request": "c2lnbmVk",
    }


def test_what_the_pod_says_to_its_signer_is_passed_on() -> None:
    asked = ASKED | {"maxExpirationSeconds": 3600, "userAnnotations": {"example.com/a": "b"}}
    spec = requested(a_bound_pod({"podCertificate": asked}), asked)["spec"]
    assert spec["maxExpirationSeconds"] == 3600
    assert spec["unverifiedUserAnnotations"] == {"example.com/a": "b"}
    assert spec["serviceAccountName"] == "default"


async def test_the_files_are_as_a_kubelet_writes_them() -> None:
    key = await make_key("ECDSAP256")
    request = {
        "metadata": {"namespace": "web"},
        "spec": {
            "stubPKCS10Request": b64encode(key.pkcs10).decode(),
            "serviceAccountName": "default",
            "maxExpirationSeconds": 3600,
        },
    }
    chain = Signer().issued(request)["certificateChain"]
    asked = ASKED | {"keyPath": "key.pem", "certificateChainPath": "chain.pem"}
    data = certificate_data("p", asked, key.pem, chain, (1000, 2000))
    files = {name: b64decode(text).decode() for name, text in data.items()}
    assert files["p.key"] == key.pem
    assert files["p.chain"] == chain
    assert files["p.bundle"] == key.pem + chain, "key first, then leaf, then those above it"
    private = load_pem_private_key(files["p.bundle"].encode(), None)
    leaf, authority = x509.load_pem_x509_certificates(files["p.bundle"].encode())
    assert leaf.public_key() == private.public_key()
    leaf.verify_directly_issued_by(authority)
    assert read_times(files["p.times"]) == (1000, 2000)


def test_only_the_files_that_are_mounted_are_kept() -> None:
    asked = {"keyPath": "key.pem", "certificateChainPath": "chain.pem"}
    assert set(certificate_data("p", asked, "", "", (0, 0))) == {"p.key", "p.chain", "p.times"}
    assert set(certificate_data("p", ASKED, "", "", (0, 0))) == {"p.bundle", "p.times"}


TWO = block("QUJD") + block("REVG")


@pytest.mark.parametrize(
    "written",
    [
        f"a note\n{block('QUJD')}between\n{block('REVG')}after",
        block("Note: x\n\nQUJD") + block("RE\nVG"),
        TWO.replace("\n", "\r\n"),
    ],
)
def test_nothing_but_certificates_is_left_of_a_chain(written: str) -> None:
    assert clean_chain(written) == TWO


def test_a_request_waits_until_one_of_three_things_is_said() -> None:
    request: Object = {"metadata": {"name": "req-1"}}
    assert decode_request(encode(request)).verdict() is None
    condition = {"type": "Denied", "status": "True", "reason": "UnsupportedKeyType"}
    request["status"] = {"conditions": [condition]}
    assert decode_request(encode(request)).verdict() == Verdict("Denied", "UnsupportedKeyType", "")
    request["status"] = {"conditions": [condition | {"type": "Approved"}]}
    assert decode_request(encode(request)).verdict() is None


def test_a_refusal_is_told_in_the_kubelets_words() -> None:
    assert refusal("web", "req-1", Verdict("Denied", "NotYou", 'not "you"')) == (
        'PodCertificateRequest web/req-1 was denied, reason="NotYou", message="not \\"you\\""'
    )
    assert refusal("web", "req-1", Verdict("Failed", "Broken", "")) == (
        'PodCertificateRequest web/req-1 failed, reason="Broken", message=""'
    )
