"""Service ranges: none overlaps another."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcluster.control_plane.service_range import ServiceRangeError, free_range, object_name

POOL = "10.112.0.0/20"


@given(st.lists(st.text(max_size=8), min_size=1, max_size=16))
def test_ranges_are_of_the_pool_and_never_overlap(seeds: list[str]) -> None:
    super_range = ipaddress.ip_network("10.112.0.0/28")
    taken = [super_range]
    for seed in seeds[:15]:
        network = ipaddress.ip_network(free_range(POOL, taken, seed))
        assert network.prefixlen == 24
        assert network.subnet_of(ipaddress.ip_network(POOL))  # type: ignore[arg-type]
        assert not any(network.overlaps(other) for other in taken)
        taken.append(network)


def test_a_full_pool_says_so() -> None:
    taken = [ipaddress.ip_network("10.112.0.0/16")]
    with pytest.raises(ServiceRangeError, match=r"pool 10\.112\.0\.0/20 has no free /24"):
        free_range(POOL, taken, "")


def test_a_pool_smaller_than_a_range_has_none() -> None:
    with pytest.raises(ServiceRangeError):
        free_range("10.112.0.0/25", [], "")


def test_foreign_ipv6_ranges_are_no_obstacle() -> None:
    assert free_range("10.112.3.0/24", [ipaddress.ip_network("fd00::/108")], "") == "10.112.3.0/24"


def test_the_name_is_made_of_the_range() -> None:
    assert object_name("10.112.3.0/24") == "virtualcluster-10-112-3-0-24"
