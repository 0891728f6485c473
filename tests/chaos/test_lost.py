"""History that is compacted away, a supervisor that dies, a tenant deleted half made (law 5)."""

import asyncio
import os
import signal
from random import Random

from kube.objects import decode_object
from kube.resources import NAMESPACES
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.clusters import connected
from tests.chaos.datastore import compact, etcdctl
from tests.chaos.faults import SYNCER, api_server
from tests.chaos.steady import steady_pods
from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for
from vcluster.local.state import State


async def test_compaction_under_the_watches_loses_nothing(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster, random: Random
) -> None:
    prefix = f"compacted-{random.randrange(10**6)}"
    async with connected(team_a) as client_a, connected(team_b) as client_b:
        await load.prepare(client_a)
        await load.prepare(client_b)
        await both_sides_agree(local, team_a, team_b)
        before = await steady_pods(local, team_a, team_b)
        for part in range(3):
            plan = load.lives(15, 2.0, random, f"{prefix}-{part}")
            await load.live(client_a, plan)
            compact(local)
            await asyncio.to_thread(SYNCER.kill, local)
        await both_sides_agree(local, team_a, team_b)
        assert await steady_pods(local, team_a, team_b) == before
        await load.clear(client_a)
    await both_sides_agree(local, team_a, team_b)


async def test_a_killed_supervisor_takes_nothing_with_it(
    local: LocalSystem, team_a: TenantCluster, team_b: TenantCluster
) -> None:
    async with connected(team_a) as client_a, connected(team_b) as client_b:
        await load.prepare(client_a)
        await load.prepare(client_b)
    await both_sides_agree(local, team_a, team_b)
    before = await steady_pods(local, team_a, team_b)
    pid = int((State(local.state_directory).supervisor_directory / "supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    local.vc("up")
    wait_for(
        "the tenants' API servers answer",
        lambda: all(
            "ok" in tenant.kubectl("get", "--raw", "/readyz", check=False)
            for tenant in (team_a, team_b)
        ),
    )
    await both_sides_agree(local, team_a, team_b)
    assert await steady_pods(local, team_a, team_b) == before


async def test_a_tenant_deleted_while_its_pods_are_made_leaves_nothing(
    local: LocalSystem, team_a: TenantCluster, random: Random
) -> None:
    doomed = local.create_tenant("doomed")
    async with connected(doomed) as client:
        await load.prepare(client)
        for index in range(20):
            await load.create(client, f"doomed-{index}", {})
    api_server(doomed.key).kill(local)
    local.vc("delete", "doomed")
    async with connected(local.super) as client:
        pages = [page async for page in client.pages(NAMESPACES)]
    names = [decode_object(item)["metadata"]["name"] for page in pages for item in page.items or ()]
    assert not [name for name in names if name.startswith(doomed.key)]
    assert not [row for row in local.processes() if row["group"] == doomed.key]
    assert not (local.state_directory / "tenants" / doomed.key).exists()
    for listing in (("get", "/", "--prefix", "--keys-only"), ("user", "list"), ("role", "list")):
        assert doomed.key not in etcdctl(local, *listing)
    ranges = local.super.items("servicecidrs", "-l", f"virtualcluster.dev/tenant={doomed.key}")
    assert all("deletionTimestamp" in found["metadata"] for found in ranges), "on their way out"
    await both_sides_agree(local, team_a)
