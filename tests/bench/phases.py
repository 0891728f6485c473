"""One measured load: created, Running, deleted, gone; with the CPU that each program spent."""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter

from tests.bench import load, watching
from tests.bench.load import Pod
from tests.bench.percentiles import p50, p99
from tests.bench.processes import SYNCER, Usages, busy_seconds, cpu_seconds, restarted

STUCK_SECONDS = 30.0
"""A pod that is still there so long after the last deletion was asked for counts as stuck."""
GIVE_UP_SECONDS = 120.0
PATIENCE = 5.0
"""Pods per second below which a load is given up, beyond GIVE_UP_SECONDS."""
TRAILING_SECONDS = 2.0
"""After the last pod has gone: events about it are still on their way."""

Measure = Callable[[], Awaitable[Usages]]


@dataclass(slots=True, kw_only=True)
class Result:
    """What one load showed."""

    name: str
    pods: int
    latencies: list[float] = field(default_factory=list)
    """Seconds from sending each pod until it was seen Running."""
    seconds_to_running: float = 0.0
    """From the first pod sent to the last one seen Running."""
    seconds_to_gone: float = 0.0
    """From the first deletion sent to the last pod seen gone."""
    not_running: int = 0
    refused: int = 0
    stuck: int = 0
    errors: list[str] = field(default_factory=list)
    cpu_running: dict[str, float] = field(default_factory=dict)
    """CPU seconds by program until all were Running."""
    cpu_life: dict[str, float] = field(default_factory=dict)
    """CPU seconds by program until all had gone."""
    others_cores: float = 0.0
    """How many cores other programs of the machine, and its host, took away on average."""
    restarted: list[str] = field(default_factory=list)
    first: str = ""
    last: str = ""
    """Start and end, as audit logs write time."""

    @property
    def pods_per_second(self) -> float:
        """Of those that ran."""
        return len(self.latencies) / self.seconds_to_running if self.seconds_to_running else 0.0

    def cpu_ms_per_pod(self, program: str) -> float:
        """Of a whole pod life."""
        return self.cpu_life.get(program, 0.0) / self.pods * 1000

    def summary(self) -> str:
        """One line for people."""
        rate = f"{self.pods} pods, {self.pods_per_second:.1f}/s"
        times = f"create→Running p50 {p50(self.latencies):.2f} s, p99 {p99(self.latencies):.2f} s"
        cpu = f"syncer {self.cpu_ms_per_pod(SYNCER):.2f} CPU-ms/pod"
        text = f"{self.name}: {rate}, {times}, gone after {self.seconds_to_gone:.1f} s, {cpu}"
        faults = {
            "not running": self.not_running,
            "refused": self.refused,
            "stuck": self.stuck,
            "restarted": ", ".join(self.restarted),
        }
        notes = [f"{name}: {value}" for name, value in faults.items() if value]
        return "; ".join([text, *notes, *self.errors])


async def measured(
    name: str,
    pods: Sequence[Pod],
    create: Callable[[Sequence[Pod]], Awaitable[None]],
    measure: Measure,
) -> Result:
    """Run one load from creation to the end; the watches of its targets must run."""
    result = Result(name=name, pods=len(pods), first=now())
    before = await measure()
    start, busy = perf_counter(), busy_seconds()
    await create(pods)
    patience = GIVE_UP_SECONDS + len(pods) / PATIENCE
    accepted = [pod for pod in pods if pod.uid]
    result.not_running = await watching.missing(
        [pod.seen for pod in accepted], lambda moments: moments.running is not None, patience
    )
    running = await measure()
    result.cpu_running = cpu_seconds(before, running)
    result.latencies = latencies(pods)
    ends = [pod.moments.running for pod in pods if pod.moments.running is not None]
    result.seconds_to_running = max(ends, default=start) - start
    await end(accepted, result)
    await asyncio.sleep(TRAILING_SECONDS)  # what is measured is an interval of time
    after = await measure()
    result.cpu_life = cpu_seconds(before, after)
    others = busy_seconds() - busy - sum(result.cpu_life.values())
    result.others_cores = max(0.0, others) / (perf_counter() - start)
    result.restarted = restarted(before, after)
    result.refused = sum(not pod.uid for pod in pods)
    result.errors = sorted({pod.error for pod in pods if pod.error})[:5]
    result.last = now()
    return result


async def end(pods: Sequence[Pod], result: Result) -> None:
    """Delete the pods, and count what is stuck."""
    start = perf_counter()
    await load.delete(pods)
    result.stuck += await watching.missing(
        [pod.seen for pod in pods], lambda moments: moments.gone is not None, STUCK_SECONDS
    )
    ends = [pod.moments.gone for pod in pods if pod.moments.gone is not None]
    result.seconds_to_gone = max(ends, default=start) - start


def latencies(pods: Sequence[Pod]) -> list[float]:
    """create→Running of those that ran."""
    found = (pod.moments.create_to_running for pod in pods)
    return [seconds for seconds in found if seconds is not None]


def median_rate(results: Sequence[Result]) -> float:
    """Pods per second over repetitions of a load."""
    return statistics.median(result.pods_per_second for result in results)


def now() -> str:
    """The time as audit logs write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
