"""Keys for pods, and the proofs that whoever asks has them."""

import asyncio
import contextlib
from typing import Any

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from syncer.private_keys import KEY_TYPES, make_key
from tests.fakes.waiting import eventually

SHAPES: dict[str, tuple[type[Any], int | str]] = {
    "RSA3072": (rsa.RSAPrivateKey, 3072),
    "RSA4096": (rsa.RSAPrivateKey, 4096),
    "ECDSAP256": (ec.EllipticCurvePrivateKey, "secp256r1"),
    "ECDSAP384": (ec.EllipticCurvePrivateKey, "secp384r1"),
    "ECDSAP521": (ec.EllipticCurvePrivateKey, "secp521r1"),
    "ED25519": (ed25519.Ed25519PrivateKey, ""),
}
HASHES = {"ECDSAP384": "sha384", "ECDSAP521": "sha512"}


def test_all_types_are_looked_at() -> None:
    assert set(SHAPES) == set(KEY_TYPES)


@pytest.mark.parametrize("key_type", KEY_TYPES)
async def test_a_key_is_of_the_type_that_was_asked_for_and_signs_the_request(key_type: str) -> None:
    """An API server checks the signature, and refuses other sizes and curves; signers want it empty."""
    made = await make_key(key_type)
    key: Any = load_pem_private_key(made.pem.encode(), None)
    kind, size = SHAPES[key_type]
    assert isinstance(key, kind)
    if key_type != "ED25519":
        assert size == (key.key_size if key_type.startswith("RSA") else key.curve.name)
    assert made.pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    request = x509.load_der_x509_csr(made.pkcs10)
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    assert len(request.subject) == len(request.extensions) == len(request.attributes) == 0
    algorithm = request.signature_hash_algorithm
    expected = None if key_type == "ED25519" else HASHES.get(key_type, "sha256")
    assert (algorithm.name if algorithm else None) == expected


async def test_a_key_is_not_shown_where_it_is_written_down() -> None:
    made = await make_key("ED25519")
    assert made.pem.splitlines()[1] not in f"{made} {made!r}"


async def test_rsa_keys_are_made_one_at_a_time_and_behind_everything_else() -> None:
    """No tenant waits for another's: neither for its turn with a key of another type, nor for a core."""
    slow = [asyncio.create_task(make_key("RSA3072")) for _ in range(3)]
    seen: list[list[int]] = []

    def makers() -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = [child.nice() for child in psutil.Process().children() if _makes_keys(child)]
            seen.append(found)
        return any(19 in found for found in seen)

    await eventually(makers, "a process stands back")
    await make_key("ECDSAP256")
    assert not all(task.done() for task in slow)
    keys = await asyncio.gather(*slow)
    assert len({key.pem for key in keys}) == 3
    assert max(len(found) for found in seen) == 1


def _makes_keys(child: psutil.Process) -> bool:
    return any("private_keys" in word for word in child.cmdline())


async def test_a_key_that_cannot_be_made_is_an_error_that_says_nothing() -> None:
    with pytest.raises(ValueError, match="no key was made") as caught:
        await make_key("RSA1")
    assert caught.value.__cause__ is None
