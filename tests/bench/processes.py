"""CPU and memory of the system's processes, by program."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from vcluster.local.components import API_SERVER, CONTROLLER_MANAGER, GROUP
from vcluster.supervision import ProcessStatus

GENERATOR = "load generator"
SYNCER = "syncer"
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process has used up to now."""

    program: str
    pid: int
    cpu_seconds: float
    rss_bytes: int
    shared_bytes: int
    """Of the resident memory, the part in files: program text, which others share."""


Usages = Mapping[int, Usage]
"""By process id."""


def program_of(group: str, name: str) -> str:
    """The name under which a supervised process is reported: whose it is, where both have one."""
    if group != GROUP:
        return f"tenant {name}"
    return f"super {name}" if name in (API_SERVER, CONTROLLER_MANAGER) else name


def measure(statuses: Iterable[ProcessStatus]) -> dict[int, Usage]:
    """The usage of each supervised process that runs, and of this process itself."""
    named = {status.pid: program_of(status.group, status.name) for status in statuses if status.pid}
    usages = {}
    for pid, program in (named | {os.getpid(): GENERATOR}).items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            times = process.cpu_times()
            memory = process.memory_info()
            spent = times.user + times.system
            usages[pid] = Usage(program, pid, spent, memory.rss, memory.shared)
    return usages


def cpu_seconds(before: Usages, after: Usages) -> dict[str, float]:
    """CPU seconds by program between two measurements. A process born between counts whole."""
    total: dict[str, float] = {}
    for pid, usage in after.items():
        earlier = before[pid].cpu_seconds if pid in before else 0.0
        total[usage.program] = total.get(usage.program, 0.0) + usage.cpu_seconds - earlier
    return total


def busy_seconds() -> float:
    """CPU seconds that the machine has spent on anybody, on all cores, since it started."""
    times = psutil.cpu_times()
    return float(sum(times[:8]) - times.idle - times.iowait)


def restarted(before: Usages, after: Usages) -> list[str]:
    """The programs of which a process ended between two measurements."""
    return sorted({usage.program for pid, usage in before.items() if pid not in after})


def rss_mib(usages: Usages) -> dict[str, float]:
    """Resident memory by program, in MiB; of several processes of one program, their mean."""
    return _mean_mib((usage.program, usage.rss_bytes) for usage in usages.values())


def anonymous_mib(usages: Usages) -> dict[str, float]:
    """The same without what is in files and shared."""
    return _mean_mib(
        (usage.program, usage.rss_bytes - usage.shared_bytes) for usage in usages.values()
    )


def _mean_mib(sizes: Iterable[tuple[str, int]]) -> dict[str, float]:
    found: dict[str, list[int]] = {}
    for program, size in sizes:
        found.setdefault(program, []).append(size)
    return {program: sum(all_) / len(all_) / MIB for program, all_ in found.items()}
