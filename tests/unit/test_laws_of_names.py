"""Names in the super cluster: valid, short enough, and never the same for two things."""

import re
from ipaddress import ip_address, ip_network

from hypothesis import assume, example, given, strategies

from vcluster import api

LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")


def dns_labels(longest: int) -> strategies.SearchStrategy[str]:
    """Valid names, with a liking for those that could be mistaken for two names."""
    inner = strategies.from_regex(rf"[a-z]([a-z0-9-]{{0,{longest - 2}}}[a-z0-9])?", fullmatch=True)
    tricky = strategies.lists(strategies.sampled_from(["a", "b", "a-b", "default"]), min_size=1)
    return strategies.one_of(inner, tricky.map("-".join).filter(lambda name: len(name) <= longest))


TENANT_NAMES = dns_labels(40)
NAMESPACES = dns_labels(63)
UIDS = strategies.uuids().map(str)
KEYS = strategies.builds(api.tenant_key, TENANT_NAMES, UIDS)


@given(name=TENANT_NAMES, uid=UIDS)
def test_a_tenant_key_is_a_namespace_name_with_room_for_more(name: str, uid: str) -> None:
    key = api.tenant_key(name, uid)
    assert LABEL.match(key)
    assert LABEL_VALUE.match(key)
    assert len(key) <= 49
    assert key.startswith(f"{name}-")
    assert key == api.tenant_key(name, uid), "the same after a restart"


@given(name=TENANT_NAMES, uids=strategies.lists(UIDS, min_size=2, max_size=20, unique=True))
def test_tenants_of_one_name_have_different_keys(name: str, uids: list[str]) -> None:
    assert len({api.tenant_key(name, uid) for uid in uids}) == len(uids)


@given(key=KEYS, namespace=NAMESPACES)
@example(key="a" * 49, namespace="b" * 63)
@example(key="a" * 49, namespace="b" * 13)
def test_a_super_namespace_is_a_valid_name(key: str, namespace: str) -> None:
    name = api.super_namespace(key, namespace)
    assert LABEL.match(name)
    assert len(name) <= 63


@given(one=strategies.tuples(KEYS, NAMESPACES), other=strategies.tuples(KEYS, NAMESPACES))
def test_two_namespaces_of_any_tenants_never_share_a_super_namespace(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (api.super_namespace(*one) == api.super_namespace(*other)) == (one == other)


@given(key=KEYS, namespaces=strategies.lists(NAMESPACES, min_size=2, unique=True))
def test_namespaces_that_only_differ_beyond_the_cut_stay_apart(
    key: str, namespaces: list[str]
) -> None:
    long = ["a" * 40 + namespace[:23].rstrip("-") for namespace in namespaces]
    assert len({api.super_namespace(key, name) for name in long}) == len(set(long))


@given(
    name=TENANT_NAMES,
    suffix=TENANT_NAMES,
    uids=strategies.tuples(UIDS, UIDS),
    namespace=NAMESPACES,
)
def test_a_tenant_whose_name_continues_anothers_does_not_reach_into_it(
    name: str, suffix: str, uids: tuple[str, str], namespace: str
) -> None:
    longer = f"{name}-{suffix}"
    assume(len(longer) <= 40)
    short_key, long_key = api.tenant_key(name, uids[0]), api.tenant_key(longer, uids[1])
    assert api.super_namespace(short_key, namespace) != long_key
    assert api.super_namespace(long_key, namespace) != short_key
    for other in (namespace, suffix, f"{suffix}-{namespace}"[:63].rstrip("-")):
        assert api.super_namespace(short_key, other) != api.super_namespace(long_key, namespace)


@given(key=KEYS, namespace=NAMESPACES)
def test_a_super_namespace_is_never_a_root_namespace(key: str, namespace: str) -> None:
    assert api.super_namespace(key, namespace) != key


@given(key=KEYS)
def test_a_bucket_is_one_of_the_64_and_stays(key: str) -> None:
    assert int(api.bucket(key)) in range(api.BUCKETS)
    assert LABEL_VALUE.match(api.bucket(key))
    assert api.bucket(key) == api.bucket(key)


def test_buckets_share_out_the_tenants() -> None:
    buckets = [api.bucket(api.tenant_key("team", str(number))) for number in range(6400)]
    sizes = [buckets.count(str(number)) for number in range(api.BUCKETS)]
    assert min(sizes) > 50
    assert max(sizes) < 170


def test_names_are_what_they_were_in_earlier_releases() -> None:
    """They are in clusters: a change here orphans every tenant."""
    uid = "6f2a3c1e-0000-4000-8000-000000000001"
    key = api.tenant_key("team-a", uid)
    assert key == KNOWN_KEY
    assert api.super_namespace(key, "default") == f"{KNOWN_KEY}-default"
    assert api.super_namespace(key, "n" * 63) == KNOWN_LONG
    assert api.bucket(key) == KNOWN_BUCKET


@given(octet=strategies.integers(0, 255), index=strategies.integers(1, 254))
def test_a_service_address_lies_in_its_range(octet: int, index: int) -> None:
    cidr = f"10.101.{octet}.0/24"
    assert ip_address(api.service_address(cidr, index)) in ip_network(cidr)


KNOWN_KEY = "team-a-2900faf9"
KNOWN_LONG = "team-a-2900faf9-nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn-70f3b6ba61ea"
KNOWN_BUCKET = "42"
