"""A tenant whose API server does not answer is left alone and probed; it costs the others nothing."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from kube.errors import ApiError, Unreachable

OPENS_AFTER = 3
FIRST_PROBE, LONGEST_PROBE = 0.25, 5.0


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

    async def run(self) -> None:
        """Probe while open, until cancelled."""
        while True:
            await self._open.wait()
            delay = FIRST_PROBE
            while True:
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))
                try:
                    await self._probe()
                except (ApiError, Unreachable):
                    delay = min(delay * 2, LONGEST_PROBE)
                else:
                    break
            self._silent = 0
            self._open.clear()
            self._on_close()
