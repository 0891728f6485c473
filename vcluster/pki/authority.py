"""A certificate authority as a value: it signs, and reads no clock and no disk. ECDSA P-256."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = timedelta(minutes=5)
KEPT = 4096
"""Answers about certificates and keys that are remembered: each pass over each tenant asks the same."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a certificate speaks for; Kubernetes reads groups from the organizations."""

    user: str
    groups: Sequence[str] = ()

    @property
    def name(self) -> x509.Name:
        """The distinguished name: groups as organizations, the user as common name."""
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in self.groups]
            + [x509.NameAttribute(NameOID.COMMON_NAME, self.user)]
        )


class Usage(Enum):
    """What a certificate may prove; PEER is both (etcd's members talk to each other)."""

    SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
    CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    PEER = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when; both aware of their time zone."""

    start: datetime
    end: datetime

    @classmethod
    def lasting(cls, lifetime: timedelta, now: datetime) -> Self:
        """From now, and a little before it for clocks that are behind."""
        return cls(now - CLOCK_SKEW, now + lifetime)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Never shows the key."""
        return f"KeyPair({self.x509.subject.rfc4514_string()!r})"

    @property
    def x509(self) -> x509.Certificate:
        """The certificate, parsed. Raises ValueError if it is not one."""
        return _parsed(self.certificate)

    @property
    def validity(self) -> Validity:
        """From when until when the certificate holds."""
        certificate = self.x509
        return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)

    @property
    def hosts(self) -> frozenset[str]:
        """The DNS names and IP addresses that the certificate is for."""
        try:
            names = self.x509.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return frozenset()
        return frozenset(str(name.value) for name in names.value)

    @property
    def whole(self) -> bool:
        """Whether both parse and the key belongs to the certificate."""
        return _is_whole(self)


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """Signs the certificates of one tenant. Immutable, and reads no clock and no disk."""

    pair: KeyPair

    @property
    def certificate(self) -> bytes:
        """What others need to trust this authority, PEM."""
        return self.pair.certificate

    @classmethod
    def create(cls, name: str, validity: Validity) -> Self:
        """A new, self-signed authority with a new key."""
        return cls(_self_signed(ec.generate_private_key(ec.SECP256R1()), name, validity))

    def renewed(self, validity: Validity) -> Self:
        """The same authority (name and key) for longer: all it has signed stays trusted."""
        name = self.pair.x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return type(self)(_self_signed(_private_key(self.pair.key), str(name), validity))

    def issue(
        self, subject: Subject, usage: Usage, validity: Validity, hosts: Sequence[str] = ()
    ) -> KeyPair:
        """A new key with a certificate for it; hosts are DNS names and IP addresses.

        The certificate does not outlive the authority's own.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.pair.x509
        issuer_key = _private_key(self.pair.key)
        bounded = Validity(validity.start, min(validity.end, self.pair.validity.end))
        builder = (
            _builder(subject.name, issuer.subject, key.public_key(), bounded)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage.value), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
                critical=False,
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(issuer_key, SHA256())
        return KeyPair(certificate.public_bytes(Encoding.PEM), _private_bytes(key))

    def issued(self, pair: KeyPair) -> bool:
        """Whether this very authority (its key, not just its name) signed the certificate."""
        return _has_issued(self.pair.certificate, pair.certificate)


def create_signing_key() -> KeyPair:
    """A key without a certificate: ``certificate`` holds the public key, PEM (for tokens)."""
    key = ec.generate_private_key(ec.SECP256R1())
    return KeyPair(_public_bytes(key), _private_bytes(key))


def public_key_of(key: bytes) -> bytes:
    """The public key, PEM, of a private key, PEM. Raises ValueError if it is not one."""
    return _public_bytes(_private_key(key))


def now() -> datetime:
    """The time, aware of its zone: callers pass it on, so that nothing below reads a clock."""
    return datetime.now(UTC)


_parsed = lru_cache(KEPT)(x509.load_pem_x509_certificate)


@lru_cache(KEPT)
def _is_whole(pair: KeyPair) -> bool:
    try:
        return _public_bytes(_private_key(pair.key)) == pair.x509.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, TypeError):
        return False


@lru_cache(KEPT)
def _has_issued(authority: bytes, certificate: bytes) -> bool:
    try:
        _parsed(certificate).verify_directly_issued_by(_parsed(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str, validity: Validity) -> KeyPair:
    subject = Subject(name).name
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(subject, subject, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, SHA256())
    )
    return KeyPair(certificate.public_bytes(Encoding.PEM), _private_bytes(key))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    validity: Validity,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.start)
        .not_valid_after(validity.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_key(key: bytes) -> ec.EllipticCurvePrivateKey:
    loaded = load_pem_private_key(key, password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise TypeError(f"a key must be ECDSA, not {type(loaded).__name__}")
    return loaded


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
