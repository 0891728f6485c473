"""The cgroups of a node: one of the same name in each hierarchy (cgroup v1) of the host."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
SYSTEMD = "systemd"
"""The named hierarchy without a controller that runc wants."""
HIERARCHIES = (*CONTROLLERS, SYSTEMD)

EMPTY_SECONDS = 15.0
"""How long the killed may take to vanish: some systems' PID 1 reaps orphans seconds late."""


def missing() -> list[str]:
    """The hierarchies that this machine lacks."""
    return [name for name in HIERARCHIES if not (ROOT / name / "cgroup.procs").exists()]


def make(cgroup: str) -> None:
    """Make the cgroup in every hierarchy."""
    for name in HIERARCHIES:
        (ROOT / name / cgroup).mkdir(parents=True, exist_ok=True)
    # A new cpuset is empty and takes no process until it is filled, from the top down.
    for cpuset in reversed([Path(cgroup), *Path(cgroup).parents[:-1]]):
        folder = ROOT / "cpuset" / cpuset
        for file in ("cpuset.cpus", "cpuset.mems"):
            (folder / file).write_text((folder.parent / file).read_text())


def join(cgroup: str) -> None:
    """Move this process into the cgroup, in every hierarchy."""
    for name in HIERARCHIES:
        (ROOT / name / cgroup / "cgroup.procs").write_text("0")


def remove(cgroup: str) -> None:
    """Kill all that is in the cgroup or below, and remove it. Done again, it changes nothing.

    Raises TimeoutError if something does not end.
    """
    deadline = time.monotonic() + EMPTY_SECONDS
    while members := set(_members(cgroup)):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {sorted(members)} of cgroup {cgroup} do not end")
        time.sleep(0.02)
    for name in HIERARCHIES:
        for folder in _tree(ROOT / name / cgroup):
            _remove(folder, deadline)


def _members(cgroup: str) -> Iterator[int]:
    for name in HIERARCHIES:
        for folder in _tree(ROOT / name / cgroup):
            with contextlib.suppress(OSError):
                yield from map(int, (folder / "cgroup.procs").read_text().split())


def _tree(folder: Path) -> list[Path]:
    """The folder and those below, deepest first; none if it is not there."""
    return [Path(path) for path, _, _ in os.walk(folder, topdown=False)]


def _remove(folder: Path, deadline: float) -> None:
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            # The last member may still be on its way out.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
