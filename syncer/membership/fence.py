"""Stops this process from writing once its Lease could not be renewed in time."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from kube.errors import Unreachable
from kube.transport import Response, Stream, Transport

Clock = Callable[[], float]


def seconds() -> float:
    """Seconds that pass also while the machine sleeps, where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Fence:
    """Until when this process may write. Closed at first; opening it again is a decision."""

    def __init__(self, clock: Clock = seconds) -> None:
        self._clock = clock
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        """Writes pass."""
        return self._clock() < self._until

    @property
    def remaining(self) -> float:
        """Seconds until it closes by itself; not above 0: it is closed."""
        return self._until - self._clock()

    def open_until(self, moment: float) -> None:
        """Let writes pass until then, in seconds of the clock."""
        self._until = moment

    def close(self) -> None:
        """Let nothing pass."""
        self._until = 0.0


class FencedTransport:
    """A transport that refuses to write while the fence is closed; reading harms nobody."""

    def __init__(self, transport: Transport, fence: Fence) -> None:
        self._transport = transport
        self._fence = fence

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        """See kube.transport.Transport."""
        if method != "GET" and not self._fence.is_open:
            raise Unreachable("this syncer's Lease is not renewed: it writes nothing")
        return await self._transport.request(method, target, headers, body, timeout)

    def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        timeout: float,
        silence: float | None = None,
        body: bytes = b"",
    ) -> AbstractAsyncContextManager[Stream]:
        """See kube.transport.Transport."""
        if body and not self._fence.is_open:
            raise Unreachable("this syncer's Lease is not renewed: it writes nothing")
        return self._transport.stream(target, headers, timeout, silence, body)

    async def close(self) -> None:
        """See kube.transport.Transport."""
        await self._transport.close()
