"""The super cluster's own faults: all wait, no running pod is touched, and all go on by themselves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from random import Random
from time import monotonic

import pytest

from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.clusters import connected
from tests.chaos.datastore import compact
from tests.chaos.faults import ETCD, SUPER_API_SERVER
from tests.chaos.steady import steady_pods
from tests.e2e.local_system import TenantCluster
from tests.faults import records
from tests.faults.proxy import Behaviour
from tests.faults.records import Record
from tests.faults.system import FaultSystem, Meter
from tests.faults.test_tenants import (
    MOST_MIB,
    MOST_WAITING,
    broken,
    busy,
    flapping,
    garbage,
    metered,
    proxied,
)

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
    some, random = victims[:2], Random(7)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(tenant)) for tenant in some]
        for client in clients:
            await load.prepare(client)
        await both_sides_agree(system.local, *some)
        before = await steady_pods(system.local, *some)
        meter = Meter(system)
        async with asyncio.TaskGroup() as tasks:
            metering = tasks.create_task(metered(meter))
            async with asyncio.TaskGroup() as lives:
                async with fault(system):
                    start = monotonic()
                    for client in clients:
                        plan = load.lives(15, seconds / 2, random, "life")
                        lives.create_task(load.live(client, plan))
                    await asyncio.sleep(seconds)  # the length is the test
                lasted, end = monotonic() - start, monotonic()
            await both_sides_agree(system.local, *some)
            recovered = monotonic() - end
            metering.cancel()
        assert await steady_pods(system.local, *some) == before, "running pods were disturbed"
        for client in clients:
            await load.clear(client)
        records.write(
            Record(
                group="the super cluster",
                fault=name,
                seen=f"running pods untouched; at most {meter.depth:.0f} requests waited, "
                f"syncer {meter.rss_mib:.0f} MiB",
                lasted=lasted,
                recovered=recovered,
            )
        )
        await both_sides_agree(system.local, *some)
    assert meter.depth <= MOST_WAITING
    assert meter.rss_mib <= MOST_MIB
