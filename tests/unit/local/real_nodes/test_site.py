"""Names and addresses of real nodes."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from vcluster.local import components as super_cluster
from vcluster.local.real_nodes.site import (
    BLOCKS,
    MOST_NODES,
    Site,
    free_block,
    is_hidden,
)

SITE = Site(Path("/state"), 1)


def test_ranges_of_a_site_do_not_overlap() -> None:
    ranges = [SITE.link, SITE.uplink, *(node.pod_range for node in SITE.nodes(MOST_NODES))]
    for number, one in enumerate(ranges):
        assert one.subnet_of(SITE.block)
        assert not any(one.overlaps(other) for other in ranges[:number])


def test_ranges_of_pods_are_those_that_nodes_know() -> None:
    assert all(node.pod_range.subnet_of(SITE.pod_range) for node in SITE.nodes(MOST_NODES))
    assert not SITE.pod_range.overlaps(SITE.link)


def test_nodes_and_gateway_have_addresses_of_their_own() -> None:
    addresses = {SITE.gateway, *(node.address for node in SITE.nodes(MOST_NODES))}
    assert len(addresses) == MOST_NODES + 1
    assert all(address in SITE.link for address in addresses)


def test_blocks_overlap_nothing_else_of_ours() -> None:
    others = (
        super_cluster.SERVICE_RANGE,
        super_cluster.TENANT_SERVICE_POOL,
        super_cluster.NODE_RANGE,
        super_cluster.POD_RANGE,
    )
    for block in BLOCKS:
        assert not any(block.overlaps(IPv4Network(other)) for other in others)


def test_two_state_directories_have_different_marks() -> None:
    assert SITE.mark != Site(Path("/other"), 1).mark
    assert SITE.mark == Site(Path("/state"), 0).mark
    assert len(SITE.mark) <= 15  # the longest name of a network interface


def test_a_block_that_is_routed_is_passed_over() -> None:
    assert free_block([]) == 0
    assert free_block([IPv4Network("10.208.4.0/24"), IPv4Network("10.209.0.0/16")]) == 2
    assert free_block([IPv4Network("10.0.0.0/9")]) == 0
    with pytest.raises(ValueError, match=r"10\.208\.0\.0 to 10\.223\.255\.255"):
        free_block([IPv4Network("10.0.0.0/8")])


@pytest.mark.parametrize(
    ("path", "folder"),
    [("/run/vc", "/run"), ("/var/lib/vc", "/var/lib"), ("/var/library", ""), ("/root/vc", "")],
)
def test_what_a_node_does_not_see_of_the_host(path: str, folder: str) -> None:
    assert is_hidden(Path(path)) == folder
