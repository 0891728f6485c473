"""Certificates: who signs what, for whom, for how long."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from vcluster.pki.authority import (
    CertificateAuthority,
    KeyPair,
    Subject,
    Usage,
    Validity,
    create_signing_key,
    public_key_of,
)
from vcluster.pki.certificates import (
    ADMIN,
    EMERGENCY,
    ETCD_AUTHORITY,
    ETCD_CLIENT,
    FRONT_PROXY_AUTHORITY,
    FRONT_PROXY_CLIENT,
    KUBECONFIG_SECRETS,
    SERVING,
    SYNCER,
    control_plane_certificates,
    renewal_due,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
YEAR = Validity.lasting(timedelta(days=365), NOW)
AUTHORITY = CertificateAuthority.create("tenant", YEAR)

names = st.text("abcdefghijklmnopqrstuvwxyz:-.", min_size=1, max_size=60)


@given(names, st.lists(names, max_size=3, unique=True), st.sampled_from(Usage))
def test_a_certificate_says_who_and_for_what_and_is_its_authoritys(
    user: str, groups: list[str], usage: Usage
) -> None:
    pair = AUTHORITY.issue(Subject(user, groups), usage, YEAR, ["localhost", "127.0.0.1"])
    assert pair.x509.subject == Subject(user, groups).name
    assert pair.hosts == {"localhost", "127.0.0.1"}
    assert pair.whole
    assert AUTHORITY.issued(pair)
    extension = pair.x509.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert tuple(extension.value) == usage.value


def test_a_client_certificate_serves_nothing() -> None:
    pair = AUTHORITY.issue(Subject("admin"), Usage.CLIENT, YEAR)
    extension = pair.x509.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert ExtendedKeyUsageOID.SERVER_AUTH not in extension.value


def test_keys_are_ecdsa_on_p256() -> None:
    public_key = AUTHORITY.issue(Subject("one"), Usage.PEER, YEAR).x509.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    assert public_key.curve.name == "secp256r1"


def test_an_authority_of_the_same_name_is_not_the_same_authority() -> None:
    other = CertificateAuthority.create("tenant", YEAR)
    assert not AUTHORITY.issued(other.issue(Subject("admin"), Usage.CLIENT, YEAR))


def test_a_renewed_authority_still_vouches_for_all_it_has_signed() -> None:
    pair = AUTHORITY.issue(Subject("admin"), Usage.CLIENT, YEAR)
    renewed = AUTHORITY.renewed(Validity.lasting(timedelta(days=3650), NOW))
    assert renewed.issued(pair)
    assert renewed.pair.validity.end > AUTHORITY.pair.validity.end


def test_a_certificate_does_not_outlive_its_authority() -> None:
    pair = AUTHORITY.issue(Subject("a"), Usage.CLIENT, Validity.lasting(timedelta(days=999), NOW))
    assert pair.validity.end == AUTHORITY.pair.validity.end


def test_a_key_of_another_certificate_does_not_make_a_whole_pair() -> None:
    one, other = (AUTHORITY.issue(Subject("a"), Usage.CLIENT, YEAR) for _ in range(2))
    assert not KeyPair(one.certificate, other.key).whole
    assert not KeyPair(b"", b"").whole
    assert not KeyPair(one.certificate, b"no key").whole


def test_keys_do_not_show_in_text() -> None:
    assert "PRIVATE" not in repr(AUTHORITY)
    assert "PRIVATE" not in f"{AUTHORITY.pair}"


def test_the_public_half_of_a_signing_key_comes_back() -> None:
    pair = create_signing_key()
    assert public_key_of(pair.key) == pair.certificate
    with pytest.raises(ValueError, match="PEM"):
        public_key_of(b"no key")


@given(st.integers(min_value=1, max_value=10**9), st.integers(min_value=0, max_value=100))
def test_renewal_is_due_at_two_thirds_of_a_life(seconds: int, percent: int) -> None:
    life = timedelta(seconds=seconds)
    validity = Validity(NOW, NOW + life)
    assert renewal_due(validity, NOW + life * percent / 100) == (percent >= 67)


def test_the_table_of_certificates() -> None:
    table = {one.name: one for one in control_plane_certificates("team-a-1", "10.112.3.1")}
    assert table[ADMIN].subject == Subject("virtualcluster:admin", ("virtualcluster:admins",))
    assert table[SYNCER].subject == Subject("virtualcluster:syncer", ("virtualcluster:syncers",))
    assert table[ETCD_CLIENT].subject == Subject("team-a-1")
    assert table[ETCD_CLIENT].authority == ETCD_AUTHORITY
    assert table[FRONT_PROXY_CLIENT].authority == FRONT_PROXY_AUTHORITY
    assert {"kubernetes.default.svc", "127.0.0.1", "10.112.3.1"} <= set(table[SERVING].hosts)
    handed_out = set(KUBECONFIG_SECRETS) - {EMERGENCY}
    assert not any("system:masters" in table[name].subject.groups for name in handed_out)
