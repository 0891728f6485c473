"""A syncer that dies, and syncers that come and go, with thousands of pods and under load."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from time import monotonic

from kube.client import Client
from kube.objects import Object, ObjectKey, encode
from kube.resources import PODS
from tests.bench.percentiles import p99
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree, source_uid
from tests.chaos.audit import pods_made_twice
from tests.chaos.clusters import all_of, connected
from tests.chaos.faults import SYNCER
from tests.chaos.pace import paced
from tests.e2e.local_system import TenantCluster, wait_for
from tests.e2e.objects import pod
from tests.faults import records
from tests.faults.records import Record
from tests.faults.system import FaultSystem
from vcluster import api

PODS_IN_ALL = 5000
AT_ONCE = 8
"""Requests under way at each tenant's API server."""
GATE = [{"name": "example.com/not-yet"}]
"""Their own gate keeps the pods from nodes: what is measured is the syncer, not the nodes."""
DOWN_SECONDS = 900.0


async def test_syncers_die_come_and_go_with_thousands_of_pods(
    direct: FaultSystem, victims: list[TenantCluster], beside: TenantCluster
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(tenant)) for tenant in victims]
        quiet = await stack.enter_async_context(connected(beside))
        super_client = await stack.enter_async_context(connected(direct.local.super))
        for client in (*clients, quiet):
            await load.prepare(client)
        each = PODS_IN_ALL // len(clients)
        await asyncio.gather(*(_gated(client, each) for client in clients))
        before = await _all_down(super_client, victims, each)

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(paced(quiet, "restart", 40, 4.0))
            start = monotonic()
            pid = SYNCER.kill(direct.local)
            await asyncio.to_thread(SYNCER.wait_until_back, direct.local, pid)
            begun = monotonic()
            await asyncio.to_thread(direct.wait_until_in_step)
            in_step = monotonic()
        _tell("the syncer is killed under load", start, in_step, begun, running.result())
        assert await _super_pods(super_client, victims) == before, "a restart changes nothing"

        for number in (3, 1):
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(paced(quiet, f"syncers-{number}", 40, 4.0))
                start = monotonic()
                await asyncio.to_thread(direct.local.vc, "up", "--syncers", str(number))
                begun = monotonic()
                await asyncio.to_thread(_all_are_synced, direct)
                in_step = monotonic()
            _tell(f"from {4 - number} to {number} syncers", start, in_step, begun, running.result())
        assert await _super_pods(super_client, victims) == before, "tenants move, pods do not"
        for tenant in (*victims, beside):
            assert not _made_twice(direct, tenant)
        await both_sides_agree(direct.local, *victims, beside)
        for client in (*clients, quiet):
            await load.clear(client)
        await both_sides_agree(direct.local, *victims, beside, seconds=DOWN_SECONDS)


def _tell(what: str, start: float, in_step: float, begun: float, latencies: list[float]) -> None:
    records.write(
        Record(
            group=f"syncers, with {PODS_IN_ALL} pods",
            fault=what,
            seen=f"no super pod changed, none made twice; of {len(latencies)} pods created meanwhile "
            f"p99 {p99(latencies):.2f} s, all ran; {in_step - begun:.1f} s from the new process on",
            lasted=begun - start,
            recovered=in_step - start,
        )
    )


def _made_twice(system: FaultSystem, tenant: TenantCluster) -> list[str]:
    """Of this test: others use names again."""
    return [name for name in pods_made_twice(system.local, tenant.key) if "/many-" in name]


async def _gated(client: Client, number: int) -> None:
    names: Iterator[int] = iter(range(number))

    async def work() -> None:
        for index in names:
            body: Object = pod(f"many-{index}", schedulingGates=GATE)
            await client.create(PODS, ObjectKey(load.NAMESPACE, ""), encode(body))

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def _all_down(client: Client, tenants: list[TenantCluster], each: int) -> dict[str, str]:
    deadline = monotonic() + DOWN_SECONDS
    while len(found := await _super_pods(client, tenants)) < each * len(tenants):
        assert monotonic() < deadline, f"only {len(found)} pods are down"
        await asyncio.sleep(1.0)  # between two looks
    return found


async def _super_pods(client: Client, tenants: list[TenantCluster]) -> dict[str, str]:
    """The gated super pods: their UIDs, by those of the tenants' pods."""
    found: dict[str, str] = {}
    for tenant in tenants:
        for super_pod in await all_of(client, PODS, f"{api.TENANT_LABEL}={tenant.key}"):
            if super_pod["metadata"]["name"].startswith("many-"):
                found[source_uid(super_pod)] = super_pod["metadata"]["uid"]
    return found


def _all_are_synced(system: FaultSystem) -> None:
    """The condition that any syncer writes about each tenant says so."""

    def synced() -> bool:
        found = system.local.super.items("virtualclusters", "-n", "tenants")
        return all(
            condition["status"] == "True"
            for tenant in found
            for condition in tenant["status"]["conditions"]
            if condition["type"] == api.Condition.SYNCING
        )

    wait_for("all tenants are mirrored", synced, 60)
