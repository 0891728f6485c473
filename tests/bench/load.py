"""The load: pods created in a burst or at a pace, spread over targets in turn, and deleted."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from time import perf_counter

from kube.client import Client
from kube.errors import ApiError, NotFound, Unreachable
from kube.objects import ObjectKey, decode_head, encode
from kube.resources import PODS
from tests.bench.watching import Moments, PodWatch

AT_ONCE = 40
"""Requests of the generator under way at any time in a burst, over all targets together."""


@dataclass(frozen=True, slots=True)
class Target:
    """A namespace of an API server, and who watches its pods."""

    client: Client
    watch: PodWatch
    namespace: str
    image: str = "pause:3.10"
    """On simulated nodes a name like any other."""


@dataclass(slots=True)
class Pod:
    """A pod that was asked for."""

    target: Target
    name: str
    uid: str = ""
    error: str = ""
    """Why it, or its deletion, was refused; empty if it was not."""
    moments: Moments = field(init=False)

    def __post_init__(self) -> None:
        self.moments = self.target.watch.of(self.key)

    @property
    def key(self) -> ObjectKey:
        """Where it is in its API server."""
        return ObjectKey(self.target.namespace, self.name)

    @property
    def seen(self) -> tuple[PodWatch, Moments]:
        """For watching.missing."""
        return self.target.watch, self.moments

    async def create(self) -> None:
        """Ask for it once; the time is taken just before."""
        body = pod_body(self.target.namespace, self.name, self.target.image)
        self.moments.sent = perf_counter()
        try:
            answer = await self.target.client.create(PODS, self.key, body)
            self.uid = decode_head(answer).metadata.uid
        except (ApiError, Unreachable) as error:
            self.error = str(error)

    async def delete(self) -> None:
        """Ask for its deletion, with its own grace period."""
        try:
            await self.target.client.delete(PODS, self.key, uid=self.uid)
        except NotFound:
            pass
        except (ApiError, Unreachable) as error:
            self.error = str(error)


def pod_body(namespace: str, name: str, image: str) -> bytes:
    """The same tiny pod for every load, with the default service account and its token."""
    return encode(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": "bench"}},
            "spec": {"containers": [{"name": "main", "image": image}]},
        }
    )


def spread(targets: Sequence[Target], prefix: str, number: int) -> list[Pod]:
    """``number`` pods, the targets in turn."""
    return [
        Pod(target, f"{prefix}-{index}")
        for index, target in enumerate(islice(cycle(targets), number))
    ]


async def burst(pods: Sequence[Pod]) -> None:
    """Create all as fast as the servers take them."""
    await _all([pod.create for pod in pods])


async def paced(pods: Sequence[Pod], rate: float) -> None:
    """Create one every 1/rate seconds, however long the answers take."""
    start = perf_counter()
    async with asyncio.TaskGroup() as group:
        for index, pod in enumerate(pods):
            await asyncio.sleep(start + index / rate - perf_counter())
            group.create_task(pod.create())


async def delete(pods: Iterable[Pod]) -> None:
    """Delete all as fast as the servers take it."""
    await _all([pod.delete for pod in pods if pod.uid])


async def _all(actions: Sequence[Callable[[], Awaitable[None]]]) -> None:
    rest = iter(actions)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(actions))):
            group.create_task(_work(rest))


async def _work(actions: Iterator[Callable[[], Awaitable[None]]]) -> None:
    for action in actions:
        await action()
