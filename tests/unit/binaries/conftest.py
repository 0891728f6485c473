"""The server of releases, for each test a new one."""

from collections.abc import Iterator

import pytest

from tests.unit.binaries.release_server import ReleaseServer, release_server


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    """A running release server."""
    with release_server() as running:
        yield running
