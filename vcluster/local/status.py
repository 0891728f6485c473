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
    processes = {status.pid: _family(status.pid) for status in found if status.pid}
    for family in processes.values():
        _cpu(family)
    time.sleep(SAMPLE_SECONDS)
    return [_measure(status, processes.get(status.pid, [])) for status in found]


def _measure(status: ProcessStatus, family: list[psutil.Process]) -> Measured:
    return Measured(
        group=status.group,
        name=status.name,
        state=status.state,
        pid=status.pid,
        age_seconds=round(time.time() - status.started) if status.pid else 0,
        restarts=status.restarts,
        memory_mib=round(_memory(family) / (1 << 20), 1),
        cpu_percent=round(_cpu(family), 1),
        description=status.description,
    )


def _family(pid: int) -> list[psutil.Process]:
    """A process and all below it: what runs in a real node is a child of what was started."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _memory(family: list[psutil.Process]) -> int:
    total = 0
    for process in family:
        with contextlib.suppress(psutil.Error):
            total += int(process.memory_info().rss)
    return total


def _cpu(family: list[psutil.Process]) -> float:
    """Since the last call for these processes, in per cent of a core."""
    total = 0.0
    for process in family:
        with contextlib.suppress(psutil.Error):
            total += float(process.cpu_percent())
    return total
