"""One system for the whole matrix: five tenants that have faults, and one beside them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_system import TenantCluster
from tests.faults.system import FaultSystem

VICTIMS = ("one", "two", "three", "four", "five")
BESIDE = "beside"


@pytest.fixture(scope="session")
def system() -> Iterator[FaultSystem]:
    """A fresh one; its API servers are behind proxies."""
    system = FaultSystem(Path(tempfile.gettempdir()) / "virtualcluster-faults")
    try:
        system.start([*VICTIMS, BESIDE])
        system.put_proxies_in_front()
        yield system
    finally:
        system.close()


@pytest.fixture(scope="module")
def direct(system: FaultSystem) -> Iterator[FaultSystem]:
    """The same without proxies, which would be measured too."""
    system.remove_proxies()
    yield system
    system.put_proxies_in_front()


@pytest.fixture(scope="session")
def beside(system: FaultSystem) -> TenantCluster:
    """The tenant that must not notice."""
    return system.tenants[BESIDE]


@pytest.fixture(scope="session")
def victims(system: FaultSystem) -> list[TenantCluster]:
    """The others."""
    return [system.tenants[name] for name in VICTIMS]
