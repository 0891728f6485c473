"""Wait for processes and files, until a signal says that it is enough."""

import os
import select
import signal
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.05


class Stopped(BaseException):
    """We were told to end."""


def on_signal() -> None:
    """Let SIGTERM and SIGINT raise Stopped, once."""

    def stop(_number: int, _frame: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def until(what: str, condition: Callable[[], T | None], seconds: float) -> T:
    """The first value that is not None or False. Raises TimeoutError that says what it was."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(POLL_SECONDS)


def until_one_ends(*pids: int) -> None:
    """Return when a process has ended. Not only for children."""
    poll = select.poll()
    descriptors = []
    try:
        for pid in pids:
            descriptors.append(os.pidfd_open(pid))
            poll.register(descriptors[-1], select.POLLIN)
        poll.poll()
    except ProcessLookupError:
        return
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
