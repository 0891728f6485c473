"""A scripted server and a transport to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kube.connection import FixedCredentials
from kube.http2.transport import Http2Transport
from tests.unit.kube.certificates import Authority
from tests.unit.kube.http2.server import Http2Server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Http2Server]:
    """A server that runs and answers nothing by itself."""
    authority = Authority()
    server = Http2Server(authority, authority.server_context(tmp_path))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def transport(server: Http2Server) -> AsyncIterator[Http2Transport]:
    """A client of ``server``."""
    transport = Http2Transport(FixedCredentials(server.credentials))
    yield transport
    await transport.close()
