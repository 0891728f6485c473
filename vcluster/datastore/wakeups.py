"""An event loop that is not woken for every single message while there are many, and work in one.

To be woken costs a process more than to read what woke it. At hundreds of messages a second each comes alone,
milliseconds apart; a short wait lets several be read in one go. For work that has time.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

PER_SECOND = 20
"""Wake-ups that come at once, on average; a loop that is woken less often never waits."""
AT_ONCE = 100
"""As many may come in a row without a wait."""
LONGEST_WAIT = 1 / PER_SECOND
"""Seconds that a message may lie."""


class PacedSelector(selectors.DefaultSelector):
    """Looks for I/O at most PER_SECOND times a second on average, by a short wait before it looks.

    ``now`` and ``wait`` are a monotonic clock in seconds, and its sleep.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._now, self._wait = now, wait
        self._allowed = float(AT_ONCE)
        self._looked = self._counted = now()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors.BaseSelector."""
        now = self._now()
        if timeout is not None and timeout <= 0:
            if now - self._looked < LONGEST_WAIT:
                return []  # first all that is known already
        else:
            timeout = self._paced(now, timeout)
        found = super().select(timeout)
        self._looked = self._now()
        return found

    def _paced(self, now: float, timeout: float | None) -> float | None:
        """Count a wake-up; wait if there were many. What is left of the time-out."""
        self._allowed = min(self._allowed + (now - self._counted) * PER_SECOND, AT_ONCE) - 1
        self._counted = now
        if self._allowed < 0:
            rest = min(-self._allowed / PER_SECOND, LONGEST_WAIT)
            if timeout is not None:
                rest = min(rest, timeout)
                timeout -= rest
            self._wait(rest)
        return timeout


def paced_loop() -> asyncio.AbstractEventLoop:
    """A loop whose wake-ups are paced."""
    return asyncio.SelectorEventLoop(PacedSelector())


async def run_apart(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run the work in a thread with a paced loop of its own until it ends; what it raises is raised here.

    To be cancelled cancels it, and waits for its end.
    """
    here = asyncio.get_running_loop()
    begun: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]]
    begun = here.create_future()

    async def begin() -> None:
        task = asyncio.current_task()
        assert task is not None
        here.call_soon_threadsafe(begun.set_result, (asyncio.get_running_loop(), task))
        await work()

    def run() -> None:
        with asyncio.Runner(loop_factory=paced_loop) as runner:
            runner.run(begin())

    with ThreadPoolExecutor(1, "apart") as thread:
        running = here.run_in_executor(thread, run)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            if not running.done():
                there, task = await begun
                there.call_soon_threadsafe(task.cancel)
                await asyncio.wait([running])
            raise
