"""A tenant whose API server does not answer is left alone and probed; it costs the others nothing."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from kube.errors import ApiError, Unreachable
from syncer.runtime.rest import Rest

OPENS_AFTER = 3
FIRST_PROBE, LONGEST_PROBE = 0.25, 5.0
STEADY_SECONDS = 60.0
"""A server that has not fallen silent for so long is well: more than a request takes to time out."""


class CircuitBreaker:
    """Opens after some requests in a row without an answer; closes when a probe succeeds.

    Any answer, even a refusal, shows a server that works: only silence counts.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        opened: Callable[[], None],
        closed: Callable[[], None],
    ) -> None:
        self._probe = probe
        self._on_open = opened
        self._on_close = closed
        self._silent = 0
        self._open = asyncio.Event()
        self._rest = Rest()

    @property
    def is_open(self) -> bool:
        """Requests are held back."""
        return self._open.is_set()

    def observe(self, answered: bool) -> None:
        """Be told of each request whether it was answered."""
        if answered:
            self._silent = 0
            return
        self._silent += 1
        if self._silent >= OPENS_AFTER and not self._open.is_set():
            self._open.set()
            self._on_open()

    def hurry(self) -> None:
        """There is reason to believe that the server answers now: if requests are held back, probe it."""
        if self._open.is_set():
            self._rest.hurry()

    async def run(self) -> None:
        """Probe while open, until cancelled.

        A server that falls silent soon after it has answered a probe is probed as if it had not.
        """
        loop, delay, closed = asyncio.get_running_loop(), FIRST_PROBE, float("-inf")
        while True:
            await self._open.wait()
            if loop.time() - closed > STEADY_SECONDS:
                delay = FIRST_PROBE
            while not await self._answers(delay):
                delay = min(delay * 2, LONGEST_PROBE)
            delay = min(delay * 2, LONGEST_PROBE)
            closed, self._silent = loop.time(), 0
            self._open.clear()
            self._on_close()

    async def _answers(self, delay: float) -> bool:
        await self._rest.take(delay * random.uniform(0.8, 1.2))
        try:
            await self._probe()
        except (ApiError, Unreachable):
            return False
        return True
