"""Servers that are there and do not answer: SIGSTOP (laws 3 and 6)."""

import asyncio
import os
from math import ceil
from random import Random
from time import monotonic

from kube.client import Client
from kube.objects import decode_object
from kube.resources import PODS
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.clusters import connected
from tests.chaos.faults import ETCD, SUPER_API_SERVER, Component, api_server
from tests.chaos.metrics import SyncerMetrics
from tests.chaos.steady import steady_pods
from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for

STOPPED_SECONDS = float(os.environ.get("CHAOS_STOPPED_SECONDS", "60"))
OUTAGE_SECONDS = 10.0
PACED_PODS = 100
LATER_PODS = 30
RUNNING_SECONDS = 60.0
LONG_WAIT = 1.0
"""Seconds in the syncer's queue; a request behind a server that hangs waits 5 (its time-out)."""
NOISE_SECONDS = 0.5
"""What a busy machine adds by itself between two series of one run; a neighbour's hang added 60-83 s
in the peer that this is a lesson from."""


async def test_law_3_a_stopped_tenant_does_not_delay_another(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster, random: Random
) -> None:
    prefix = f"stopped-{random.randrange(10**6)}"
    hung = api_server(team_a.key)
    async with connected(team_a) as client_a, connected(team_b) as client_b:
        await load.prepare(client_a)
        await load.prepare(client_b)
        await both_sides_agree(local, team_a, team_b)
        before = await steady_pods(local, team_a, team_b)
        alone = await _paced(client_b, f"{prefix}-alone", PACED_PODS)
        async with asyncio.TaskGroup() as tasks:
            for index in range(60):
                tasks.create_task(load.create(client_a, f"{prefix}-{index}", {}))
        with hung.stopped(local):  # while those pods still have a long way to go
            until = monotonic() + STOPPED_SECONDS
            beside = await _paced(client_b, f"{prefix}-beside", PACED_PODS)
            wait_for("the breaker opens", lambda: SyncerMetrics(local).breaker_is_open(team_a.key))
            earlier = SyncerMetrics(local)
            await _paced(client_b, f"{prefix}-later", LATER_PODS)
            later = SyncerMetrics(local)
            # From here on only the other tenant's requests are handed out.
            handed_out = later.handed_out - earlier.handed_out
            assert handed_out > LATER_PODS, "the other tenant's requests are worked on"
            assert later.waited_longer(LONG_WAIT) == earlier.waited_longer(LONG_WAIT)
            assert later.breaker_is_open(team_a.key)
            assert not later.breaker_is_open(team_b.key)
            await asyncio.sleep(max(0.0, until - monotonic()))  # the length is the test
            assert await steady_pods(local, team_a, team_b) == before, "nothing was taken away"
        await both_sides_agree(local, team_a, team_b)
        assert await steady_pods(local, team_a, team_b) == before
        await load.clear(client_a)
        await load.clear(client_b)
    print(f"p99 alone {_p99(alone):.2f} s, beside a stopped tenant {_p99(beside):.2f} s")
    assert _p99(beside) <= 1.2 * _p99(alone) + NOISE_SECONDS
    await both_sides_agree(local, team_a, team_b)


async def test_law_6_a_super_api_server_that_hangs_costs_no_pod(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster, random: Random
) -> None:
    await _outage(local, team_a, team_b, random, SUPER_API_SERVER)


async def test_law_6_a_datastore_that_hangs_costs_no_pod(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster, random: Random
) -> None:
    await _outage(local, team_a, team_b, random, ETCD)


async def _outage(
    local: LocalSystem,
    team_a: TenantCluster,
    team_b: TenantCluster,
    random: Random,
    component: Component,
) -> None:
    prefix = f"outage-{random.randrange(10**6)}"
    async with connected(team_a) as client_a, connected(team_b) as client_b:
        await load.prepare(client_a)
        await load.prepare(client_b)
        await both_sides_agree(local, team_a, team_b)
        before = await steady_pods(local, team_a, team_b)
        async with asyncio.TaskGroup() as tasks:
            for client in (client_a, client_b):
                plan = load.lives(30, OUTAGE_SECONDS, random, prefix)
                tasks.create_task(load.live(client, plan))
            with component.stopped(local):
                await asyncio.sleep(OUTAGE_SECONDS)  # the length is the test
        await both_sides_agree(local, team_a, team_b)
        assert await steady_pods(local, team_a, team_b) == before, "running pods were disturbed"
        await load.clear(client_a)
        await load.clear(client_b)
    await both_sides_agree(local, team_a, team_b)


async def _paced(client: Client, prefix: str, number: int) -> list[float]:
    """Seconds from create to Running of pods created ten a second; the last ones are waited for."""
    created: dict[str, float] = {}
    running: dict[str, float] = {}
    version = ""
    async for page in client.pages(PODS):
        version = version or page.metadata.resource_version
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(client, version, running))
        for index in range(number):
            created[f"{prefix}-{index}"] = monotonic()
            tasks.create_task(load.create(client, f"{prefix}-{index}", {}))
            await asyncio.sleep(0.1)  # the pace
        async with asyncio.timeout(RUNNING_SECONDS):
            while not created.keys() <= running.keys():
                await asyncio.sleep(0.1)  # between two looks
        watching.cancel()
    return [running[name] - start for name, start in created.items()]


async def _watch(client: Client, version: str, running: dict[str, float]) -> None:
    """Note when each pod is seen to run for the first time."""
    async for events in client.watch(PODS, version):
        now = monotonic()
        for event in events:
            pod = decode_object(event.object)
            if pod.get("status", {}).get("phase") == "Running":
                running.setdefault(pod["metadata"]["name"], now)


def _p99(values: list[float]) -> float:
    """By nearest rank."""
    return sorted(values)[ceil(len(values) * 0.99) - 1]
