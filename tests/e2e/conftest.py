"""One local super cluster with two tenants for all e2e tests of a run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_system import LocalSystem, TenantCluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is an e2e test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def local() -> Iterator[LocalSystem]:
    """A fresh system. What a killed run left behind is removed first."""
    system = LocalSystem(Path(tempfile.gettempdir()) / "virtualcluster-e2e")
    system.purge()
    system.up()
    try:
        yield system
    finally:
        system.purge()


@pytest.fixture(scope="session")
def team_a(local: LocalSystem) -> TenantCluster:
    """A tenant with default settings."""
    return local.create_tenant("team-a")


@pytest.fixture(scope="session")
def team_b(local: LocalSystem) -> TenantCluster:
    """Another one."""
    return local.create_tenant("team-b")
