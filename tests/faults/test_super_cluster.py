"""The super cluster's own faults: all wait, no running pod is touched, and all go on by themselves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from time import monotonic

import pytest

from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.datastore import compact
from tests.chaos.faults import ETCD, SUPER_API_SERVER
from tests.e2e.local_system import TenantCluster
from tests.faults import records
from tests.faults.proxy import Behaviour
from tests.faults.records import Record
from tests.faults.system import FaultSystem
from tests.faults.test_tenants import broken, busy, flapping, garbage, proxied
from tests.faults.watched import metered, undisturbed

LEASE_SECONDS = 14.0
"""Longer than this the syncer must not believe that it may write (settings.lease_seconds)."""

Fault = Callable[[FaultSystem], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def hung(system: FaultSystem) -> AsyncIterator[None]:
    with SUPER_API_SERVER.stopped(system.local):
        yield


@asynccontextmanager
async def paused(system: FaultSystem) -> AsyncIterator[None]:
    with ETCD.stopped(system.local):
        yield


@asynccontextmanager
async def killed(system: FaultSystem) -> AsyncIterator[None]:
    await asyncio.to_thread(system.restart, SUPER_API_SERVER)
    yield


@asynccontextmanager
async def compacted(system: FaultSystem) -> AsyncIterator[None]:
    """The watches break; when they come again their versions are gone (410)."""
    with system.behaving("super", Behaviour(refuse=True)):
        yield
        compact(system.local)
        servers = [SUPER_API_SERVER, *system.api_servers()]
        await asyncio.to_thread(system.restart, *servers)


def by_proxy(behaviour: Behaviour) -> Fault:
    """Between the syncer and the super cluster."""
    return lambda system: proxied(behaviour)(system, "super")


FAULTS: dict[str, tuple[float, Fault]] = {
    "API server hung (SIGSTOP)": (LEASE_SECONDS + 4, hung),
    "API server killed": (6, killed),
    "datastore paused (SIGSTOP of etcd)": (8, paused),
    "history compacted under the watches (410)": (6, compacted),
    "slow: 1 s for each answer": (10, by_proxy(Behaviour(delay=1.0))),
    "flapping: a second there, a second away": (10, lambda system: flapping(system, "super")),
    "answers 429 to everything": (8, by_proxy(busy)),
    "answers 500 to everything": (8, by_proxy(broken)),
    "answers garbage to everything": (8, by_proxy(garbage)),
    "serving certificate expired": (8, by_proxy(Behaviour(expired=True))),
    "network cut, answers are lost": (LEASE_SECONDS + 4, by_proxy(Behaviour(hold_answers=True))),
    "network cut, requests are lost": (8, by_proxy(Behaviour(hold_requests=True))),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_the_super_cluster_costs_no_pod(
    system: FaultSystem, victims: list[TenantCluster], name: str
) -> None:
    seconds, fault = FAULTS[name]
    some = victims[:2]
    async with undisturbed(system, *some) as clients, metered(system) as meter:
        async with asyncio.TaskGroup() as lives:
            async with fault(system):
                start = monotonic()
                for client in clients:
                    plan = load.lives(15, seconds / 2, Random(7), "life")
                    lives.create_task(load.live(client, plan))
                await asyncio.sleep(seconds)  # the length is the test
            lasted, end = monotonic() - start, monotonic()
        await both_sides_agree(system.local, *some)
        recovered = monotonic() - end
    records.write(
        Record(
            group="the super cluster",
            fault=name,
            seen=f"running pods untouched; {meter}",
            lasted=lasted,
            recovered=recovered,
        )
    )
    meter.check()
