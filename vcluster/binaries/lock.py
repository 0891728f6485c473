"""Who may change one folder of the cache: one process at a time, and none that was killed."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from vcluster.binaries.progress import Pace, Report

_RETRY = 0.2


@contextlib.contextmanager
def locked(path: Path, what: str, report: Report) -> Iterator[None]:
    """Hold the lock file ``path``; while another process has it, say so and wait.

    The kernel frees it when we are killed. The file stays, holding the last owner's pid.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try(descriptor):
            _wait(descriptor, what, report)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, what: str, report: Report) -> None:
    owner = os.pread(descriptor, 20, 0).decode(errors="replace")
    report(f"{what}: process {owner} is at it already; waiting until it has finished")
    pace = Pace(report)
    while not _try(descriptor):
        pace.tell(lambda: f"{what}: still waiting for process {owner} ({pace.elapsed})")
        time.sleep(_RETRY)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
