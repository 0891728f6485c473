"""Loud tenants beside regular ones, on real control planes: what the regular ones notice of it."""

import asyncio
from contextlib import AsyncExitStack
from time import monotonic

import pytest

from kube.client import Client
from tests.bench.percentiles import p50, p99
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.clusters import connected
from tests.chaos.pace import NOISE_SECONDS, paced
from tests.e2e.local_system import TenantCluster
from tests.faults import records
from tests.faults.noise import NOISES
from tests.faults.records import Record
from tests.faults.system import FaultSystem, Meter
from tests.faults.test_tenants import MOST_MIB, metered

LOUD = 2
PODS_EACH, RATE = 12, 1.5
"""Of each regular tenant."""
MOST_SECONDS = 2.0


@pytest.mark.parametrize("name", NOISES)
async def test_loud_tenants_are_not_heard_next_door(
    direct: FaultSystem, victims: list[TenantCluster], beside: TenantCluster, name: str
) -> None:
    loud, regular = victims[:LOUD], [*victims[LOUD:], beside]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(tenant)) for tenant in loud + regular]
        for client in clients:
            await load.prepare(client)
        await both_sides_agree(direct.local, *loud, *regular)
        alone = await _paced(clients[LOUD:], "alone")
        meter = Meter(direct)
        async with asyncio.TaskGroup() as tasks:
            metering = tasks.create_task(metered(meter))
            noises = [tasks.create_task(_noise(name, client)) for client in clients[:LOUD]]
            start = monotonic()
            among = await _paced(clients[LOUD:], "among")
            lasted = monotonic() - start
            for task in (*noises, metering):
                task.cancel()
        end = monotonic()
        for client in clients:
            await load.clear(client)
        await both_sides_agree(direct.local, *loud, *regular)
        ratio = p99(among) / p99(alone)
        records.write(
            Record(
                group=f"{LOUD} loud tenants beside {len(regular)} regular ones",
                fault=name,
                seen=f"create → Running of {len(among)} paced pods: p50 {p50(among):.2f} s, p99 "
                f"{p99(among):.2f} s (alone {p50(alone):.2f} and {p99(alone):.2f} s, ratio "
                f"{ratio:.2f}); at most {meter.depth:.0f} requests waited, syncer "
                f"{meter.rss_mib:.0f} MiB",
                lasted=lasted,
                recovered=monotonic() - end,
            )
        )
    assert meter.rss_mib <= MOST_MIB
    assert p99(among) <= max(1.2 * p99(alone) + NOISE_SECONDS, MOST_SECONDS)


async def _noise(name: str, client: Client) -> None:
    await NOISES[name](client)


async def _paced(clients: list[Client], prefix: str) -> list[float]:
    series = await asyncio.gather(*(paced(client, prefix, PODS_EACH, RATE) for client in clients))
    return [seconds for one in series for seconds in one]
