"""Which keys and certificates a control plane has: what is still good is kept, the rest is made."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from vcluster.pki import certificates
from vcluster.pki.authority import (
    CertificateAuthority,
    KeyPair,
    Validity,
    create_signing_key,
    public_key_of,
)
from vcluster.pki.certificates import Certificate

Credentials = Mapping[str, KeyPair]
"""By the names of ``pki.certificates``."""


def complete(
    key: str,
    sources: Sequence[Credentials],
    wanted: Sequence[Certificate],
    etcd_authority: CertificateAuthority,
    now: datetime,
) -> Credentials:
    """Everything the tenant ``key`` needs; from ``sources`` (first wins) while it is good.

    An authority that is lost everywhere is made anew, and then so is all that it had signed. Pure
    but for the randomness of new keys: equal, good sources give equal credentials.
    """
    authorities = {
        name: _authority(f"{key}-{name}", _found(sources, name), now)
        for name in certificates.OWN_AUTHORITIES
    } | {certificates.ETCD_AUTHORITY: etcd_authority}
    have = {name: authorities[name].pair for name in certificates.OWN_AUTHORITIES}
    have[certificates.SERVICE_ACCOUNT_KEY] = _signing_key(
        _found(sources, certificates.SERVICE_ACCOUNT_KEY)
    )
    for certificate in wanted:
        have[certificate.name] = _leaf(
            certificate, authorities[certificate.authority], _found(sources, certificate.name), now
        )
    return have


def good(
    pair: KeyPair, certificate: Certificate, authority: CertificateAuthority, now: datetime
) -> bool:
    """Whether a certificate found somewhere is the wanted one, and not due for renewal."""
    return (
        pair.whole
        and authority.issued(pair)
        and pair.x509.subject == certificate.subject.name
        and pair.hosts == frozenset(certificate.hosts)
        and not certificates.renewal_due(pair.validity, now)
    )


def _leaf(
    certificate: Certificate,
    authority: CertificateAuthority,
    found: Iterable[KeyPair],
    now: datetime,
) -> KeyPair:
    for pair in found:
        if good(pair, certificate, authority, now):
            return pair
    validity = Validity.lasting(certificates.CERTIFICATE_LIFETIME, now)
    return authority.issue(certificate.subject, certificate.usage, validity, certificate.hosts)


def _authority(name: str, found: Iterable[KeyPair], now: datetime) -> CertificateAuthority:
    validity = Validity.lasting(certificates.AUTHORITY_LIFETIME, now)
    for pair in found:
        if pair.whole and CertificateAuthority(pair).issued(pair):
            authority = CertificateAuthority(pair)
            due = certificates.renewal_due(pair.validity, now)
            return authority.renewed(validity) if due else authority
    return CertificateAuthority.create(name, validity)


def _signing_key(found: Iterable[KeyPair]) -> KeyPair:
    for pair in found:
        try:
            return KeyPair(public_key_of(pair.key), pair.key)
        except (ValueError, TypeError):
            continue
    return create_signing_key()


def _found(sources: Sequence[Credentials], name: str) -> list[KeyPair]:
    return [source[name] for source in sources if name in source]
