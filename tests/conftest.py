"""Fixtures that every layer may use."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

from kube.client import Client
from kube.connection import Credentials, FixedCredentials
from kube.transport import AiohttpTransport
from tests.fakes.apiserver import FakeApiServer

TESTS = Path(__file__).parent

settings.register_profile("here", deadline=None, max_examples=50)  # shared machines are slow
settings.load_profile("here")
# A traceback in colours and boxes takes a second, in which nothing else of the process goes on.
_PLAIN = structlog.dev.ConsoleRenderer(
    colors=False, exception_formatter=structlog.dev.plain_traceback
)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes (``--dist=loadgroup``) one runs all tests that share a system.

    They mostly wait; the unit tests share nothing, and go wherever there is time.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder != "unit":
            item.add_marker(pytest.mark.xdist_group(folder))


def client_of(server: FakeApiServer, timeout: float = 5.0, **options: Any) -> Client:
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
