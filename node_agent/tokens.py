"""Whose token is it? Service accounts of a tenant may ask for what kubelets report, as in any cluster.

The tenant is the one whose key has signed the token. Whether the token still holds, and what its owner
may see, only the tenant's API server knows: reviews.py asks it. Pure: no I/O.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from node_agent.http1 import Request
from node_agent.routes import Report

SCHEME = "bearer "
LONGEST_TOKEN = 8192


class Unauthenticated(Exception):
    """The client is nobody that we know; the message says why, without what the client sent."""


class _Header(msgspec.Struct):
    alg: str
    kid: str = ""


_decode_header = msgspec.json.Decoder(_Header).decode


@dataclass(frozen=True, slots=True)
class Token:
    """A JSON web token, taken apart and not yet believed (RFC 7519)."""

    text: str
    key_id: str
    signed: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "Token(...)"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issues a tenant's tokens, and can say what they are good for."""

    key: ec.EllipticCurvePublicKey
    key_id: str
    server: str
    """The URL of the tenant's API server, as nodes reach it."""
    authority: bytes
    """Who has signed the server's certificate, PEM."""

    @classmethod
    def of(cls, public_key: bytes, server: str, authority: bytes) -> "Issuer":
        """Raises ValueError if it is no key of ours."""
        key = serialization.load_pem_public_key(public_key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("not a key on an elliptic curve")  # noqa: TRY004 - of the file
        return cls(key, key_id(key), server, authority)

    def has_signed(self, token: Token) -> bool:
        """By ES256 (RFC 7518, section 3.4), and nothing else."""
        half = len(token.signature) // 2
        if half != 32:
            return False
        numbers = (int.from_bytes(token.signature[:half]), int.from_bytes(token.signature[half:]))
        try:
            self.key.verify(encode_dss_signature(*numbers), token.signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """As kube-apiserver names its keys (k8s.io/kubernetes/pkg/serviceaccount/jwt.go)."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def bearer(request: Request) -> Token:
    """The token that a request brings along. Raises Unauthenticated."""
    values = [value for name, value in request.headers if name == "authorization"]
    if len(values) != 1 or not values[0].lower().startswith(SCHEME):
        raise Unauthenticated("no client certificate, and no token")
    text = values[0][len(SCHEME) :].strip()
    parts = text.split(".")
    if len(parts) != 3 or len(text) > LONGEST_TOKEN:
        raise Unauthenticated("not a service account's token")
    try:
        header = _decode_header(_decoded(parts[0]))
        signature = _decoded(parts[2])
        signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise Unauthenticated("not a service account's token") from error
    if header.alg != "ES256":
        raise Unauthenticated("not a service account's token")
    return Token(text, header.kid, signed, signature)


def subresources(report: Report) -> tuple[str, ...]:
    """Of ``nodes``: whoever may get one of them is told the report (the kubelet's server/auth.go)."""
    if report in (Report.PODS, Report.RUNNING_PODS):
        return ("pods", "proxy")
    return ("stats",) if report is Report.SUMMARY else ("metrics",)


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
