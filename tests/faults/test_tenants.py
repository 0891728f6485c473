"""Each tenant its own fault at once: nobody else notices, nothing is lost, all heal by themselves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from random import Random
from time import monotonic

import pytest

from tests.bench.percentiles import p99
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.faults import api_server
from tests.chaos.pace import NOISE_SECONDS, paced
from tests.e2e.local_system import TenantCluster
from tests.faults import records
from tests.faults.proxy import WELL, Behaviour, http_answer
from tests.faults.records import Record
from tests.faults.system import FaultSystem
from tests.faults.watched import metered, undisturbed

FAULT_SECONDS = 20.0
TOLD_EACH = 20
"""So many pods of each are taken away below: of any three tenants, more than the syncer has workers."""

Fault = Callable[[FaultSystem, str], AbstractAsyncContextManager[None]]

BUSY = b'{"kind":"Status","code":429,"reason":"TooManyRequests","message":"busy"}'
BROKEN = b'{"kind":"Status","code":500,"reason":"InternalError","message":"broken"}'
GARBAGE = b'{"kind":"PodList","items":[{"metadata":\xff\xfe\x00 nonsense'


@asynccontextmanager
async def hung(system: FaultSystem, name: str) -> AsyncIterator[None]:
    with api_server(system.tenants[name].key).stopped(system.local):
        yield


@asynccontextmanager
async def flapping(system: FaultSystem, name: str) -> AsyncIterator[None]:
    async def flap() -> None:
        while True:
            for behaviour in (Behaviour(refuse=True), WELL):
                system.behave(name, behaviour)
                await asyncio.sleep(1.0)  # the pace of it

    async with asyncio.TaskGroup() as tasks:
        flaps = tasks.create_task(flap())
        try:
            yield
        finally:
            flaps.cancel()
            system.behave(name, WELL)


def proxied(behaviour: Behaviour) -> Fault:
    """By the proxy in front of it."""

    @asynccontextmanager
    async def fault(system: FaultSystem, name: str) -> AsyncIterator[None]:
        with system.behaving(name, behaviour):
            yield

    return fault


JSON = "Content-Type: application/json"
busy = Behaviour(answer=http_answer("429 Too Many Requests", BUSY, JSON, "Retry-After: 1"))
broken = Behaviour(answer=http_answer("500 Internal Server Error", BROKEN, JSON))
garbage = Behaviour(answer=http_answer("200 OK", GARBAGE, JSON))

ROUNDS: list[dict[str, Fault]] = [
    {
        "API server hung (SIGSTOP)": hung,
        "slow: 1 s for each answer": proxied(Behaviour(delay=1.0)),
        "flapping: a second there, a second away": flapping,
        "answers 429 to everything": proxied(busy),
        "answers 500 to everything": proxied(broken),
    },
    {
        "answers garbage to everything": proxied(garbage),
        "serving certificate expired": proxied(Behaviour(expired=True)),
        "connections refused": proxied(Behaviour(refuse=True)),
        "network cut, answers are lost": proxied(Behaviour(hold_answers=True)),
        "network cut, requests are lost": proxied(Behaviour(hold_requests=True)),
    },
]


@pytest.mark.parametrize("faults", ROUNDS, ids=["servers", "networks"])
async def test_faults_of_tenants_are_their_own(
    system: FaultSystem,
    victims: list[TenantCluster],
    beside: TenantCluster,
    faults: dict[str, Fault],
) -> None:
    async with undisturbed(system, *victims, beside) as clients:
        alone = await paced(clients[-1], "alone")
        await asyncio.gather(*(paced(one, "taken", TOLD_EACH) for one in clients[:-1]))
        async with metered(system) as meter, asyncio.TaskGroup() as tasks:
            start = monotonic()
            async with AsyncExitStack() as faulty:
                for tenant, fault in zip(victims, faults.values(), strict=True):
                    await faulty.enter_async_context(fault(system, tenant.name))
                for tenant in victims:
                    await asyncio.to_thread(load.take_away, system.local, tenant)
                for client in clients[:-1]:
                    plan = load.lives(24, FAULT_SECONDS / 2, Random(5), "life")
                    tasks.create_task(load.live(client, plan))
                found = await paced(clients[-1], "beside")
                await asyncio.sleep(max(0.0, start + FAULT_SECONDS - monotonic()))
            lasted = monotonic() - start
            recoveries = [tasks.create_task(_recovery(system, tenant)) for tenant in victims]
            times = [await recovery for recovery in recoveries]
        alone += await paced(clients[-1], "again")
    seen = f"a neighbour's p99 {p99(found):.2f} s (before and after: {p99(alone):.2f} s); {meter}"
    for fault_name, tenant, seconds in zip(faults, victims, times, strict=True):
        breaker = "left alone and probed" if tenant.key in meter.opened else "asked on"
        records.write(
            Record(
                group="a tenant's API server",
                fault=fault_name,
                seen=f"running pods untouched; {breaker}; {seen}",
                lasted=lasted,
                recovered=seconds,
            )
        )
    assert p99(found) <= 1.2 * p99(alone) + NOISE_SECONDS
    meter.check()


async def _recovery(system: FaultSystem, tenant: TenantCluster) -> float:
    start = monotonic()
    await both_sides_agree(system.local, tenant)
    return monotonic() - start
