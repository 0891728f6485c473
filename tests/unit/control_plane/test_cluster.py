"""The operator's client: what it does when an API server keeps it waiting."""

import socket
import time
from collections.abc import Iterator

import pytest
from kubernetes import client

from kube.resources import NAMESPACES
from vcluster.control_plane.cluster import REQUEST_SECONDS, Cluster, Unreachable


@pytest.fixture
def silent() -> Iterator[Cluster]:
    """An API server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        configuration = client.Configuration(host=f"http://127.0.0.1:{server.getsockname()[1]}")
        cluster = Cluster(configuration)
        yield cluster
        cluster.close()


def test_all_requests_together_have_an_end(silent: Cluster) -> None:
    silent.give_up_after(0.3)
    start = time.monotonic()
    with pytest.raises(Unreachable, match="timed out"):
        silent.get(NAMESPACES, "default")
    for _ in range(5):
        with pytest.raises(Unreachable, match="earlier requests took too long"):
            silent.get(NAMESPACES, "default")
    assert time.monotonic() - start < REQUEST_SECONDS
