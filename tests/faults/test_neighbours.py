"""Loud tenants beside regular ones, on real control planes: what the regular ones notice of it.

Until they are bound, not until they run: one kwok plays all kubelets, in one line for all tenants, and is
the first to fall behind.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import pytest

from kube.client import Client
from tests.bench.percentiles import p50, p99
from tests.chaos.pace import is_bound, paced
from tests.e2e.local_system import TenantCluster
from tests.faults import records
from tests.faults.noise import NOISES
from tests.faults.records import Record
from tests.faults.system import FaultSystem
from tests.faults.watched import metered, undisturbed

LOUD = 2
PODS_EACH, RATE = 12, 1.5
"""Of each regular tenant."""
SLACK_SECONDS = 5.0
"""Some times what a busy machine adds by itself; without any fairness 300 pods at once added 9 s here."""
GONE_SECONDS = 300.0
"""A controller-manager deletes a few namespaces a second."""


@pytest.mark.parametrize("name", NOISES)
async def test_loud_tenants_are_not_heard_next_door(
    direct: FaultSystem, victims: list[TenantCluster], beside: TenantCluster, name: str
) -> None:
    loud, regular = victims[:LOUD], [*victims[LOUD:], beside]
    async with undisturbed(direct, *loud, *regular, seconds=GONE_SECONDS) as clients:
        alone = await _paced(clients[LOUD:], "alone")
        async with metered(direct) as meter, _made(name, loud):
            start = monotonic()
            among = await _paced(clients[LOUD:], "among")
            lasted = monotonic() - start
        alone += await _paced(clients[LOUD:], "again")
        end = monotonic()
    ratio = p99(among) / p99(alone)
    records.write(
        Record(
            group=f"{LOUD} loud tenants beside {len(regular)} regular ones",
            fault=name,
            seen=f"create → bound of {len(among)} paced pods: p50 {p50(among):.2f} s, p99 "
            f"{p99(among):.2f} s (alone {p50(alone):.2f} and {p99(alone):.2f} s, ratio "
            f"{ratio:.2f}); {meter}",
            lasted=lasted,
            recovered=monotonic() - end,
        )
    )
    meter.check()
    # The ratio is for the table; what is refused here is a neighbour that stands still.
    assert p99(among) <= 1.2 * p99(alone) + SLACK_SECONDS


@asynccontextmanager
async def _made(name: str, tenants: list[TenantCluster]) -> AsyncIterator[None]:
    """These tenants are loud inside this block, each from a process of its own."""
    program = (sys.executable, "-m", "tests.faults.noise")
    noises = [
        await asyncio.create_subprocess_exec(
            *program, str(tenant.kubeconfig), name, stdin=asyncio.subprocess.PIPE
        )
        for tenant in tenants
    ]
    try:
        yield
        ended_by_itself = [noise.returncode for noise in noises if noise.returncode]
        assert not ended_by_itself, "the noise failed"
    finally:
        for noise in noises:
            await noise.communicate(b"")  # its input ends


async def _paced(clients: list[Client], prefix: str) -> list[float]:
    series = await asyncio.gather(
        *(paced(client, prefix, PODS_EACH, RATE, is_bound) for client in clients)
    )
    return [seconds for one in series for seconds in one]
