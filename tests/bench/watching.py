"""When each pod was seen in each state, by one watch per API server and one clock for all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from time import perf_counter

import msgspec

from kube.client import Client
from kube.errors import ApiError, Gone, Unreachable
from kube.objects import ObjectKey, WatchEvent
from kube.resources import PODS

REWATCH_SECONDS = 0.5


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _Spec(msgspec.Struct, gc=False, rename="camel"):
    node_name: str = ""


class _Status(msgspec.Struct, gc=False):
    phase: str = ""


class _Pod(msgspec.Struct, gc=False):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


_decode = msgspec.json.Decoder(_Pod).decode


class Moments(msgspec.Struct, gc=False):
    """When a pod was asked for, and when it was first seen so; seconds of perf_counter."""

    sent: float | None = None
    added: float | None = None
    bound: float | None = None
    running: float | None = None
    gone: float | None = None

    @property
    def create_to_running(self) -> float | None:
        """None while it does not run."""
        if self.running is None or self.sent is None:
            return None
        return self.running - self.sent


class PodWatch:
    """One watch on the pods of an API server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._version = ""
        self._news = asyncio.Event()
        self._pods: dict[ObjectKey, Moments] = {}

    def of(self, key: ObjectKey) -> Moments:
        """The moments of one pod; they fill as time passes."""
        return self._pods.setdefault(key, Moments())

    async def start(self) -> None:
        """Find out where to watch from. Raises the errors of kube.errors."""
        async for page in self._client.pages(PODS, limit=1, metadata_only=True):
            self._version = page.metadata.resource_version
            return

    async def follow(self) -> None:
        """Watch until cancelled. A gap is watched anew; nothing else ends it."""
        while True:
            try:
                async for events in self._client.watch(PODS, self._version):
                    self.see(events, perf_counter())
            except Gone:
                await self.start()
            except (ApiError, Unreachable):
                await asyncio.sleep(REWATCH_SECONDS)

    def see(self, events: Iterable[WatchEvent], now: float) -> None:
        """Note what events say."""
        for event in events:
            pod = _decode(event.object)
            self._version = pod.metadata.resource_version
            if event.type == "BOOKMARK":
                continue
            moments = self.of(ObjectKey(pod.metadata.namespace, pod.metadata.name))
            if moments.added is None:
                moments.added = now
            if moments.bound is None and pod.spec.node_name:
                moments.bound = now
            if moments.running is None and pod.status.phase == "Running":
                moments.running = now
            if event.type == "DELETED":
                moments.gone = now
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on what was seen."""
        while not condition():
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def following(watches: Iterable[PodWatch]) -> AsyncIterator[None]:
    """The watches run inside this block."""
    watches = list(watches)
    for watch in watches:
        await watch.start()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watch.follow()) for watch in watches]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def missing(
    pods: Iterable[tuple[PodWatch, Moments]], reached: Callable[[Moments], bool], seconds: float
) -> int:
    """Wait until all pods reached a state; how many had not when the time was over."""
    waiting = list(pods)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            for watch, moments in waiting:
                await watch.until(lambda one=moments: reached(one))  # type: ignore[misc]
    return sum(not reached(moments) for _, moments in waiting)
