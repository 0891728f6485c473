"""What every test of a fault looks at: the pods that must run on, the syncer's size and its queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from kube.client import Client
from tests.chaos import load
from tests.chaos.agreement import AGREE_SECONDS, both_sides_agree
from tests.chaos.clusters import connected
from tests.chaos.faults import SYNCER
from tests.chaos.steady import steady_pods
from tests.e2e.local_system import TenantCluster
from tests.faults.system import FaultSystem

LOOK_SECONDS = 0.5
MOST_WAITING = 1000
"""Requests of all tenants together. Each object waits at most once in a direction: the most are two tenants'
150 pods at once, downward, upward, and an Event of each."""
MOST_MIB = 150.0


@asynccontextmanager
async def undisturbed(
    system: FaultSystem, *tenants: TenantCluster, seconds: float = AGREE_SECONDS
) -> AsyncIterator[list[Client]]:
    """Clients of the tenants, in which there is something to disturb.

    In the end the steady pods must be the very same; then the load goes, and the sides must agree within
    that many seconds.
    """
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(tenant)) for tenant in tenants]
        for client in clients:
            await load.prepare(client)
        await both_sides_agree(system.local, *tenants)
        before = await steady_pods(system.local, *tenants)
        yield clients
        assert await steady_pods(system.local, *tenants) == before, "running pods were disturbed"
        for client in clients:
            await load.clear(client)
        await both_sides_agree(system.local, *tenants, seconds=seconds)


class Meter:
    """The largest that the syncer's queue and memory were while this was asked."""

    def __init__(self, system: FaultSystem) -> None:
        self._system = system
        self.depth, self.rss_mib = 0.0, 0.0
        self.opened: set[str] = set()
        """The tenants whose breaker was open, by key."""

    def look(self) -> None:
        """Once."""
        found = self._system.metrics()
        depths = (value for name, value in found.items() if name.startswith("syncer_queue_depth"))
        self.depth = max(self.depth, sum(depths))
        for tenant in self._system.tenants.values():
            if found.get(f'syncer_breaker_open{{tenant="{tenant.key}"}}'):
                self.opened.add(tenant.key)
        self.rss_mib = max(self.rss_mib, _rss_mib(self._system.pid(SYNCER)))

    def __str__(self) -> str:
        return f"at most {self.depth:.0f} requests waited, syncer {self.rss_mib:.0f} MiB"

    def check(self) -> None:
        """Both are bounded."""
        assert self.depth <= MOST_WAITING
        assert self.rss_mib <= MOST_MIB


@asynccontextmanager
async def metered(system: FaultSystem) -> AsyncIterator[Meter]:
    """It looks again and again inside this block."""
    meter = Meter(system)

    async def look() -> None:
        while True:
            await asyncio.to_thread(meter.look)
            await asyncio.sleep(LOOK_SECONDS)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        try:
            yield meter
        finally:
            looking.cancel()


def _rss_mib(pid: int) -> float:
    """0 while the process is away."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")),
        0.0,
    )
