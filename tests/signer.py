"""A signer of PodCertificateRequests, as a tenant would run one; upstream has a like one for its tests."""

import base64
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from kube.objects import Object

NAME = "signer.example.com/spiffe"
PATH_ANNOTATION = "signer.example.com/path"


class Signer:
    """An authority and what it says of requests. ``early``: how long before the end to renew."""

    def __init__(self, early: timedelta = timedelta(minutes=30)) -> None:
        self._early = early
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
        now = datetime.now(UTC)
        self.authority = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issued(self, request: Object) -> Object:
        """The status of a request that is granted: for its pod's account, or the path it names."""
        spec, namespace = request["spec"], request["metadata"]["namespace"]
        asked = x509.load_der_x509_csr(base64.b64decode(spec["stubPKCS10Request"]))
        path = f"/ns/{namespace}/sa/{spec['serviceAccountName']}"
        path = (spec.get("unverifiedUserAnnotations") or {}).get(PATH_ANNOTATION, path)
        identity = x509.UniformResourceIdentifier(f"spiffe://cluster.local{path}")
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
        end = start + timedelta(seconds=spec["maxExpirationSeconds"])
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([identity]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        chain = "".join(
            certificate.public_bytes(Encoding.PEM).decode()
            for certificate in (leaf, self.authority)
        )
        return {
            "conditions": [condition("Issued", "Issued", "as asked")],
            "certificateChain": chain,
            "notBefore": _written(start),
            "beginRefreshAt": _written(end - self._early),
            "notAfter": _written(end),
        }


def refused(kind: str, reason: str, message: str) -> Object:
    """The status of a request that was denied, or has failed."""
    return {"conditions": [condition(kind, reason, message)]}


def condition(kind: str, reason: str, message: str) -> Object:
    """A condition of a request."""
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": _written(datetime.now(UTC)),
    }


def identity_of(pem: str) -> str:
    """Whom the first certificate of a file names."""
    leaf = x509.load_pem_x509_certificates(pem.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
