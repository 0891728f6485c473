"""A supervisord of the test's own, ended with all it runs whatever the test did."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from vcluster.supervision import Program, Supervisor

PREFIX = "vc-test-supervision-"


def wait_until(what: str, condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Fail, naming what was waited for, if it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain until {what}")
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether there is such a process that is not merely waiting to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """The folder of a supervisord that the tests of a module share: starting one takes a second.

    What a killed run left behind is cleared first.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(PREFIX).split("-")[0])):
            Supervisor(left / "s").shutdown()
            shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    yield folder / "s"
    Supervisor(folder / "s").shutdown()
    shutil.rmtree(folder)


@pytest.fixture
def supervisor(directory: Path) -> Iterator[Supervisor]:
    """Running, and empty again afterwards, whatever the test did to it."""
    supervisor = Supervisor(directory)
    supervisor.start()
    yield supervisor
    supervisor.start()
    for group in {*supervisor.groups(), *(status.group for status in supervisor.statuses())}:
        supervisor.remove(group)


@pytest.fixture
def sleeper(tmp_path: Path) -> Callable[..., Program]:
    """Makes programs that do nothing, for ever."""

    def make(name: str, seconds: int = 1000, **environment: str) -> Program:
        log = tmp_path / "logs" / f"{name}.log"
        return Program(name, ("sleep", str(seconds)), log, environment=environment)

    return make
