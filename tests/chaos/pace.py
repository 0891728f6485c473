"""Pods created at a pace, and how long each took until it ran."""

import asyncio
from time import monotonic

from kube.client import Client
from kube.objects import ObjectKey, decode_object
from kube.resources import PODS
from tests.chaos import load
from tests.chaos.clusters import insist

NOISE_SECONDS = 0.5
"""What a busy machine adds by itself between two series of one run; a neighbour's hang added 60-83 s
in the peer that this is a lesson from."""


async def paced(client: Client, prefix: str, number: int = 40, rate: float = 5.0) -> list[float]:
    """Seconds from create to Running of so many pods created ``rate`` a second."""
    async with asyncio.TaskGroup() as tasks:
        started = []
        for index in range(number):
            started.append(tasks.create_task(until_running(client, f"{prefix}-{index}")))
            await asyncio.sleep(1 / rate)  # the pace
    return [task.result() for task in started]


async def until_running(client: Client, name: str, seconds: float = 60.0) -> float:
    """Create a pod of the load; how long it took until it ran."""
    start = monotonic()
    await load.create(client, name, {})
    key = ObjectKey(load.NAMESPACE, name)
    while True:
        pod = decode_object(await insist(f"read {name}", lambda: client.get(PODS, key)))
        if pod.get("status", {}).get("phase") == "Running":
            return monotonic() - start
        assert monotonic() - start < seconds, f"{name} does not run"
        await asyncio.sleep(0.05)  # between two looks
