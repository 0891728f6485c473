"""How the local super cluster's processes are, the tenants' too."""

import contextlib
import time
from dataclasses import asdict, dataclass

import psutil

from vcluster.local.state import State
from vcluster.supervision import ProcessStatus, Supervisor

SAMPLE_SECONDS = 0.3
"""Over how long the use of CPU is measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One process as a person wants to see it."""

    group: str
    name: str
    state: str
    pid: int
    age_seconds: int
    restarts: int
    memory_mib: float
    """Resident; of which the program's text is shared with others that run the same program."""
    cpu_percent: float
    """Of one core, just now; 0 for what is not running."""
    description: str

    def row(self) -> dict[str, object]:
        """For printing."""
        return asdict(self)


def status(state: State) -> list[Measured]:
    """All processes, the super cluster's first. Raises SupervisionError if supervisord is not up."""
    found = Supervisor(state.supervisor_directory).statuses()
    processes = {status.pid: process for status in found if (process := _process(status.pid))}
    for process in processes.values():
        _cpu(process)
    time.sleep(SAMPLE_SECONDS)
    return [_measure(status, processes.get(status.pid)) for status in found]


def _measure(status: ProcessStatus, process: psutil.Process | None) -> Measured:
    return Measured(
        group=status.group,
        name=status.name,
        state=status.state,
        pid=status.pid,
        age_seconds=round(time.time() - status.started) if status.pid else 0,
        restarts=status.restarts,
        memory_mib=round(_memory(process) / (1 << 20), 1),
        cpu_percent=round(_cpu(process), 1),
        description=status.description,
    )


def _process(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid) if pid else None
    return None


def _memory(process: psutil.Process | None) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss) if process else 0
    return 0


def _cpu(process: psutil.Process | None) -> float:
    """Since the last call for this process, in per cent of a core."""
    with contextlib.suppress(psutil.Error):
        return float(process.cpu_percent()) if process else 0.0
    return 0.0
