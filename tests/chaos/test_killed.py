"""kill -9 of one program after the other, while pods come, change and go (law 5)."""

import asyncio
from random import Random

from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.audit import pods_made_twice
from tests.chaos.clusters import connected
from tests.chaos.faults import (
    ETCD,
    KWOK,
    OPERATOR,
    SUPER_API_SERVER,
    SYNCER,
    Component,
    api_server,
)
from tests.chaos.steady import steady_pods
from tests.e2e.local_system import LocalSystem, TenantCluster

PODS_PER_TENANT = 100
LOAD_SECONDS = 25.0


async def test_programs_killed_under_load(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster, random: Random
) -> None:
    victims = [SYNCER, OPERATOR, api_server(team_a.key), SUPER_API_SERVER, ETCD, KWOK]
    random.shuffle(victims)
    prefix = f"killed-{random.randrange(10**6)}"
    async with connected(team_a) as client_a, connected(team_b) as client_b:
        await load.prepare(client_a)
        await load.prepare(client_b)
        await both_sides_agree(local, team_a, team_b)
        before = await steady_pods(local, team_a, team_b)
        async with asyncio.TaskGroup() as tasks:
            for client in (client_a, client_b):
                plan = load.lives(PODS_PER_TENANT, LOAD_SECONDS, random, prefix)
                tasks.create_task(load.live(client, plan))
            tasks.create_task(_kill_all(local, victims, random))
        await both_sides_agree(local, team_a, team_b)
        assert await steady_pods(local, team_a, team_b) == before, "running pods were disturbed"
        for tenant in (team_a, team_b):
            assert not pods_made_twice(local, tenant.key)
        await load.clear(client_a)
        await load.clear(client_b)
    await both_sides_agree(local, team_a, team_b)


async def _kill_all(local: LocalSystem, victims: list[Component], random: Random) -> None:
    """One after the other; the next one may be killed while the one before still starts."""
    for victim in victims:
        pause = random.uniform(1, LOAD_SECONDS / len(victims))
        print(f"after {pause:.2f} s: kill -9 of {victim}")
        await asyncio.sleep(pause)
        before = await asyncio.to_thread(victim.kill, local)
        await asyncio.to_thread(victim.wait_until_back, local, before)
