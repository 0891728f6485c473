"""Private keys for pods, made off the event loop."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
"""As a pod names them."""


class PrivateKey(NamedTuple):
    """A key, and the proof that whoever asks for a certificate has it."""

    pem: str
    """PKCS #8."""
    pkcs10: bytes
    """A request for a certificate that says nothing but the public key, signed with the key (DER)."""

    def __repr__(self) -> str:
        return "PrivateKey(…)"  # law 8


def _stand_back() -> None:
    """Leave the processor to the syncer's own work: of one thread, where the system can."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


_RSA = ThreadPoolExecutor(1, "rsa-keys", _stand_back)
"""An RSA key takes up to a quarter of a second of a core: one at a time, in turn, for all tenants."""


async def make_key(key_type: str) -> PrivateKey:
    """A new key of one of ``KEY_TYPES``."""
    executor = _RSA if key_type.startswith("RSA") else None
    return await asyncio.get_running_loop().run_in_executor(executor, _make, key_type)


def _make(key_type: str) -> PrivateKey:
    # Imported here: 11 MB and 0.1 s, for nothing where no pod asks for certificates.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None
    match key_type:
        case "RSA3072" | "RSA4096":
            key, algorithm = rsa.generate_private_key(65537, int(key_type[3:])), hashes.SHA256()
        case "ECDSAP256":
            key, algorithm = ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
        case "ECDSAP384":
            key, algorithm = ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()
        case "ECDSAP521":
            key, algorithm = ec.generate_private_key(ec.SECP521R1()), hashes.SHA512()
        case _:
            key, algorithm = ed25519.Ed25519PrivateKey.generate(), None
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, algorithm)
    return PrivateKey(pem, request.public_bytes(serialization.Encoding.DER))
