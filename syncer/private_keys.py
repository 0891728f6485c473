"""Private keys for pods, made off the event loop."""

import asyncio
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
"""As a pod names them."""
TOO_LONG_SECONDS = 60.0
"""A machine that needs longer for a key is in greater trouble."""


class PrivateKey(NamedTuple):
    """A key, and the proof that whoever asks for a certificate has it."""

    pem: str
    """PKCS #8."""
    pkcs10: bytes
    """A request for a certificate that says nothing but the public key, signed with the key (DER)."""

    def __repr__(self) -> str:
        return "PrivateKey(…)"  # law 8


_RSA = ThreadPoolExecutor(1, "rsa-keys")
"""An RSA key takes up to a quarter of a second of a core: one at a time, in turn, for all tenants."""


async def make_key(key_type: str) -> PrivateKey:
    """A new key of one of ``KEY_TYPES``. Raises ValueError if none could be made."""
    loop = asyncio.get_running_loop()
    if key_type.startswith("RSA"):
        return await loop.run_in_executor(_RSA, _made_apart, key_type)
    return await loop.run_in_executor(None, _made, key_type)


def _made_apart(key_type: str) -> PrivateKey:
    """In a process that stands back behind the syncer, so that no tenant waits for another's key."""
    program = f"from syncer.private_keys import write; write({key_type!r})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TOO_LONG_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        raise ValueError("no key was made") from None  # the error may carry what was written
    pem, _, pkcs10 = done.stdout.decode().rpartition("\n")
    return PrivateKey(f"{pem}\n", b64decode(pkcs10))


def write(key_type: str) -> None:
    """Make a key and write it to standard output, at the lowest priority: the program of a process."""
    os.nice(19)
    made = _made(key_type)
    sys.stdout.write(made.pem + b64encode(made.pkcs10).decode())


def _made(key_type: str) -> PrivateKey:
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
        case "ED25519":
            key, algorithm = ed25519.Ed25519PrivateKey.generate(), None
        case _:
            raise ValueError("unknown type of key")
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, algorithm)
    return PrivateKey(pem, request.public_bytes(serialization.Encoding.DER))
