"""A tenant whose API server hangs, and what its neighbour notices of it."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from tests.bench import load, watching
from tests.bench.load import Target
from tests.bench.percentiles import p99
from tests.bench.phases import Measure, Result, end, measured

WAITING_PODS = 100
"""Created in the tenant just before it hangs, so that there is work for it in both directions."""
RECOVERY_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """The neighbour's load without and with the hung tenant."""

    baseline: Result
    neighbour: Result
    waiting: int
    """Pods of the hung tenant that did not run yet when it stopped."""
    recovery_seconds: float
    """From its going on until all of its pods were Running."""
    lost: int
    """Pods of the hung tenant that were not Running by then."""

    @property
    def ratio(self) -> float:
        """The neighbour's p99 of create→Running: hung ÷ baseline."""
        return p99(self.neighbour.latencies) / p99(self.baseline.latencies)


async def run(
    pid: int,
    hanging: Target,
    other: Target,
    rate: float,
    seconds: float,
    measure: Measure,
    calm: Callable[[], Awaitable[None]],
) -> Hung:
    """Load ``other`` at a pace, then again while process ``pid`` stands still for ``seconds`` at least.

    ``calm`` returns when the pods of ``hanging`` do not occupy the super cluster any more: it is the
    hanging that is measured, not they.
    """
    number = max(1, round(rate * seconds * 2 / 3))
    create = partial(load.paced, rate=rate)
    async with watching.following([hanging.watch, other.watch]):
        pods = load.spread([other], "baseline", number)
        baseline = await measured("neighbour, all well", pods, create, measure)
        waiting = load.spread([hanging], "waiting", WAITING_PODS)
        await load.burst(waiting)
        with stopped(pid):
            start = perf_counter()
            count = sum(pod.moments.running is None for pod in waiting)
            await calm()
            pods = load.spread([other], "hung", number)
            neighbour = await measured("neighbour, one tenant hung", pods, create, measure)
            await asyncio.sleep(max(0.0, start + seconds - perf_counter()))
        start = perf_counter()
        lost = await watching.missing(
            [pod.seen for pod in waiting], lambda seen: seen.running is not None, RECOVERY_SECONDS
        )
        recovery = perf_counter() - start
        rest = Result(name="waiting", pods=len(waiting))
        await end(waiting, rest)
        neighbour.stuck += rest.stuck
    return Hung(
        baseline=baseline,
        neighbour=neighbour,
        waiting=count,
        recovery_seconds=recovery,
        lost=lost,
    )


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still inside this block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
