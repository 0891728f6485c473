"""Fixtures that every layer may use."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from hypothesis import settings

from kube.client import Client
from kube.connection import Credentials, FixedCredentials
from kube.transport import AiohttpTransport
from tests.fakes.apiserver import FakeApiServer

settings.register_profile("here", deadline=None, max_examples=50)  # shared machines are slow
settings.load_profile("here")
# A traceback in colours and boxes takes a second, in which nothing else of the process goes on.
_PLAIN = structlog.dev.ConsoleRenderer(
    colors=False, exception_formatter=structlog.dev.plain_traceback
)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])


def client_of(server: FakeApiServer, timeout: float = 30.0, **options: Any) -> Client:
    """A client of a fake that serves plain HTTP; ``timeout`` in seconds for one request."""
    credentials = Credentials(server=server.url, ca=b"")
    return Client(AiohttpTransport(FixedCredentials(credentials)), timeout, **options)


@pytest.fixture
async def apiserver() -> AsyncIterator[FakeApiServer]:
    """A fake API server that runs."""
    server = FakeApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(apiserver: FakeApiServer) -> AsyncIterator[Client]:
    """A client of ``apiserver``."""
    client = client_of(apiserver)
    yield client
    await client.close()
