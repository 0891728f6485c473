"""Servers that are there and do not answer: SIGSTOP (laws 3 and 6)."""

import asyncio
import os
import urllib.request
from random import Random
from time import monotonic

from kube.client import Client
from kube.objects import ObjectKey, decode_object
from kube.resources import PODS
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.clusters import connected
from tests.chaos.faults import ETCD, SUPER_API_SERVER, Component, api_server
from tests.chaos.steady import steady_pods
from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for

STOPPED_SECONDS = float(os.environ.get("CHAOS_STOPPED_SECONDS", "60"))
OUTAGE_SECONDS = 10.0
PACED_PODS = 40
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
        alone = await _paced(client_b, f"{prefix}-alone")
        async with asyncio.TaskGroup() as tasks:
            for index in range(60):
                # Some of them end while their API server cannot be told.
                ends = STOPPED_SECONDS / 4 if index % 6 == 0 else 0
                tasks.create_task(load.create(client_a, f"{prefix}-{index}", {}, round(ends)))
        with hung.stopped(local):
            until = monotonic() + STOPPED_SECONDS
            beside = await _paced(client_b, f"{prefix}-beside")
            wait_for("the breaker opens", lambda: _breaker_is_open(local, team_a.key))
            assert not _breaker_is_open(local, team_b.key)
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


async def _paced(client: Client, prefix: str) -> list[float]:
    """Seconds from create to Running of pods created five a second."""
    async with asyncio.TaskGroup() as tasks:
        started = []
        for index in range(PACED_PODS):
            started.append(tasks.create_task(_until_running(client, f"{prefix}-{index}")))
            await asyncio.sleep(0.2)  # the pace
    return [task.result() for task in started]


async def _until_running(client: Client, name: str) -> float:
    start = monotonic()
    await load.create(client, name, {})
    key = ObjectKey(load.NAMESPACE, name)
    while True:
        pod = decode_object(await client.get(PODS, key))
        if pod.get("status", {}).get("phase") == "Running":
            return monotonic() - start
        assert monotonic() - start < 60, f"{name} does not run"
        await asyncio.sleep(0.05)  # between two looks


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99) - 1]


def _breaker_is_open(local: LocalSystem, key: str) -> bool:
    port = int((local.state_directory / "syncer.port").read_text())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return wait_for(
        "the tenant's breaker is in the metrics",
        lambda: [
            line.endswith(" 1.0")
            for line in text.splitlines()
            if line.startswith("syncer_breaker_open") and key in line
        ],
    )[0]
