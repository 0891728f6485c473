"""One local super cluster with two tenants for all chaos tests of a run."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.e2e.local_system import LocalSystem, TenantCluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a chaos test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture
def random(request: pytest.FixtureRequest) -> Random:
    """Seeded by $CHAOS_SEED, else anew; the seed is shown when the test fails."""
    seed = int(os.environ.get("CHAOS_SEED") or Random().randrange(10**6))
    print(f"CHAOS_SEED={seed} repeats the random choices of {request.node.name}")
    return Random(seed)


@pytest.fixture(scope="session")
def local() -> Iterator[LocalSystem]:
    """A fresh system. What a killed run left behind is removed first."""
    system = LocalSystem(Path(tempfile.gettempdir()) / "virtualcluster-chaos")
    system.purge()
    system.vc("up", "--pod-start-delay", "0.2")
    try:
        yield system
    finally:
        if not os.environ.get("CHAOS_KEEP"):
            system.purge()


@pytest.fixture(scope="session")
def team_a(local: LocalSystem) -> TenantCluster:
    """A tenant; most of the harm is done to it."""
    return local.create_tenant("team-a")


@pytest.fixture(scope="session")
def team_b(local: LocalSystem) -> TenantCluster:
    """Another one."""
    return local.create_tenant("team-b")
