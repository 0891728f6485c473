"""Servers that are there and do not answer: SIGSTOP (laws 3 and 6)."""

import asyncio
import os
import urllib.request
from random import Random
from time import monotonic

from tests.bench.percentiles import p99
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.clusters import connected
from tests.chaos.faults import ETCD, SUPER_API_SERVER, Component, api_server
from tests.chaos.pace import NOISE_SECONDS, paced
from tests.chaos.steady import steady_pods
from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for

STOPPED_SECONDS = float(os.environ.get("CHAOS_STOPPED_SECONDS", "60"))
OUTAGE_SECONDS = 10.0
MANY = 60
"""Pods that are taken away below: more to tell of than the syncer has workers."""


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
        alone = await paced(client_b, f"{prefix}-alone")
        async with asyncio.TaskGroup() as tasks:
            for index in range(MANY + MANY // 5):
                # Some of them end while their API server cannot be told.
                ends = STOPPED_SECONDS / 4 if index % 6 == 0 else 0
                tasks.create_task(load.create(client_a, f"{prefix}-{index}", {}, round(ends)))
        with hung.stopped(local):
            until = monotonic() + STOPPED_SECONDS
            await asyncio.to_thread(load.take_away, local, team_a)
            beside = await paced(client_b, f"{prefix}-beside")
            wait_for("the breaker opens", lambda: _breaker_is_open(local, team_a.key))
            wait_for("the neighbour's is closed", lambda: not _breaker_is_open(local, team_b.key))
            await asyncio.sleep(max(0.0, until - monotonic()))  # the length is the test
            assert await steady_pods(local, team_a, team_b) == before, "nothing was taken away"
        await both_sides_agree(local, team_a, team_b)
        assert await steady_pods(local, team_a, team_b) == before
        await load.clear(client_a)
        await load.clear(client_b)
    print(f"p99 alone {p99(alone):.2f} s, beside a stopped tenant {p99(beside):.2f} s")
    assert p99(beside) <= 1.2 * p99(alone) + NOISE_SECONDS
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


def _breaker_is_open(local: LocalSystem, key: str) -> bool:
    port = int((local.state_directory / "syncer.port").read_text())

    def told() -> list[bool]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
        return [
            line.endswith(" 1.0")
            for line in text.splitlines()
            if line.startswith("syncer_breaker_open") and key in line
        ]

    return wait_for("the tenant's breaker is in the metrics", told)[0]
