"""One local super cluster with two real nodes, and no others, for all tests of a run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_system import LocalSystem, TenantCluster
from vcluster.local.real_nodes import requirements

STATE_DIRECTORY = Path(tempfile.gettempdir()) / "virtualcluster-e2e-real"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs real nodes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e_real)


@pytest.fixture(scope="session")
def local() -> Iterator[LocalSystem]:
    """A fresh system. What a killed run left behind is removed first."""
    try:
        requirements.check(STATE_DIRECTORY)
        requirements.install(print)
    except requirements.MissingRequirement as error:
        pytest.skip(str(error))
    system = LocalSystem(STATE_DIRECTORY)
    system.purge()
    system.vc("up", "--real-nodes", "2", "--cpu-nodes", "0", "--gpu-nodes", "0")
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
