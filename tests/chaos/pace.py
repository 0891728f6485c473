"""Pods created at a pace, and how long each took until it ran."""

import asyncio
from collections.abc import Callable
from time import monotonic

from kube.client import Client
from kube.objects import Object, ObjectKey, decode_object
from kube.resources import PODS
from tests.chaos import load
from tests.chaos.clusters import insist

NOISE_SECONDS = 10.0
"""More than what a busy machine adds by itself between two series of one run; a neighbour's hang added
60-83 s in the peer that this is a lesson from."""


def is_running(pod: Object) -> bool:
    """Its containers run, and the tenant has been told."""
    return bool(pod.get("status", {}).get("phase") == "Running")


def is_bound(pod: Object) -> bool:
    """It has a node, and the tenant has been told: all but the node's own work."""
    return "nodeName" in pod["spec"]


async def paced(
    client: Client,
    prefix: str,
    number: int = 40,
    rate: float = 5.0,
    reached: Callable[[Object], bool] = is_running,
) -> list[float]:
    """Seconds from their creation of so many pods, created ``rate`` a second."""
    async with asyncio.TaskGroup() as tasks:
        started = []
        for index in range(number):
            started.append(tasks.create_task(until(reached, client, f"{prefix}-{index}")))
            await asyncio.sleep(1 / rate)  # the pace
    return [task.result() for task in started]


async def until_running(client: Client, name: str, seconds: float = 60.0) -> float:
    """Create a pod of the load; how long it took until it ran."""
    return await until(is_running, client, name, seconds)


async def until(
    reached: Callable[[Object], bool], client: Client, name: str, seconds: float = 60.0
) -> float:
    """Create a pod of the load; how long it took until it was so."""
    start = monotonic()
    await load.create(client, name, {})
    key = ObjectKey(load.NAMESPACE, name)
    while True:
        pod = decode_object(await insist(f"read {name}", lambda: client.get(PODS, key)))
        if reached(pod):
            return monotonic() - start
        assert monotonic() - start < seconds, f"{name} does not get so far as {reached.__name__}"
        await asyncio.sleep(0.05)  # between two looks
