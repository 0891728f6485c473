"""What is kept of the keys that are found, and what is made anew."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from vcluster.control_plane.credentials import Credentials, complete
from vcluster.control_plane.plan import backup_files, pairs_in
from vcluster.control_plane.secrets import credentials_of, secrets_of
from vcluster.pki import certificates
from vcluster.pki.authority import CertificateAuthority, KeyPair, Validity
from vcluster.pki.certificates import control_plane_certificates

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TABLE = control_plane_certificates("team-a-1", "10.112.3.1")
ETCD = CertificateAuthority.create("etcd", Validity.lasting(timedelta(days=3650), NOW))
FIRST = complete("team-a-1", (), TABLE, ETCD, NOW)


def completed(*sources: Credentials, now: datetime = NOW) -> Credentials:
    return complete("team-a-1", sources, TABLE, ETCD, now)


def changed(after: Credentials) -> set[str]:
    return {name for name in after if after[name] != FIRST[name]}


def test_all_that_the_table_asks_for_is_there() -> None:
    assert set(FIRST) == {one.name for one in TABLE} | {
        certificates.CLUSTER_AUTHORITY,
        certificates.FRONT_PROXY_AUTHORITY,
        certificates.SERVICE_ACCOUNT_KEY,
    }


def test_good_credentials_are_kept() -> None:
    assert completed(FIRST) == FIRST
    assert completed({}, FIRST) == FIRST


@given(st.sets(st.sampled_from(sorted(FIRST))), st.sets(st.sampled_from(sorted(FIRST))))
def test_what_either_source_still_has_is_not_made_anew(lost: set[str], damaged: set[str]) -> None:
    broken = {name: KeyPair(b"", b"") for name in damaged}
    secrets = {name: pair for name, pair in FIRST.items() if name not in lost} | broken
    assert completed(secrets, FIRST) == FIRST


def test_a_lost_certificate_alone_is_made_anew() -> None:
    rest = {name: pair for name, pair in FIRST.items() if name != certificates.ADMIN}
    assert changed(completed(rest)) == {certificates.ADMIN}


def test_a_lost_authority_takes_along_all_that_it_signed_but_not_the_signing_key() -> None:
    rest = {name: pair for name, pair in FIRST.items() if name != certificates.CLUSTER_AUTHORITY}
    signed = {one.name for one in TABLE if one.authority == certificates.CLUSTER_AUTHORITY}
    assert changed(completed(rest)) == {certificates.CLUSTER_AUTHORITY} | signed


def test_another_etcd_authority_changes_etcds_certificate_only() -> None:
    other = CertificateAuthority.create("etcd", Validity.lasting(timedelta(days=3650), NOW))
    assert changed(complete("team-a-1", (FIRST,), TABLE, other, NOW)) == {certificates.ETCD_CLIENT}


def test_another_service_range_changes_the_serving_certificate_only() -> None:
    table = control_plane_certificates("team-a-1", "10.112.99.1")
    assert changed(complete("team-a-1", (FIRST,), table, ETCD, NOW)) == {certificates.SERVING}


def test_certificates_are_renewed_in_time_authorities_and_signing_key_stay() -> None:
    later = completed(FIRST, now=NOW + timedelta(days=250))
    assert changed(later) == {one.name for one in TABLE}


def test_a_renewed_authority_keeps_its_key() -> None:
    name = certificates.CLUSTER_AUTHORITY
    later = completed(FIRST, now=NOW + timedelta(days=2500))
    assert later[name].key == FIRST[name].key
    assert later[name].certificate != FIRST[name].certificate


def test_secrets_hold_all_and_give_it_back() -> None:
    secrets = secrets_of("team-a-1", "team-a", "https://127.0.0.1:1", FIRST)
    assert credentials_of(secrets) == FIRST
    assert {secret["metadata"]["namespace"] for secret in secrets} == {"team-a-1"}


def test_a_damaged_secret_is_as_good_as_none() -> None:
    secrets = secrets_of("team-a-1", "team-a", "https://127.0.0.1:1", FIRST)
    secrets[0]["data"] = {"tls.crt": "***"}
    secrets[1].pop("data")
    assert len(credentials_of(secrets)) == len(FIRST) - 2


def test_the_files_are_a_backup_of_what_cannot_be_made_again() -> None:
    saved = pairs_in(backup_files(FIRST))
    after = completed(saved)
    kept = {
        certificates.CLUSTER_AUTHORITY,
        certificates.FRONT_PROXY_AUTHORITY,
        certificates.SERVICE_ACCOUNT_KEY,
    }
    assert kept.isdisjoint(changed(after))
