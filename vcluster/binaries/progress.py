"""How long steps tell how far they are, one line at a time."""

import time
from collections.abc import Callable

Report = Callable[[str], None]
"""Takes one line for people."""

INTERVAL = 5.0
"""Seconds between two lines of progress."""


class Progress(str):
    """A line that makes the Progress line before it obsolete: a terminal may overwrite that."""

    __slots__ = ()


class Pace:
    """Passes a line of progress on only every ``interval`` seconds."""

    def __init__(self, report: Report, interval: float = INTERVAL) -> None:
        self._report = report
        self._interval = interval
        self._started = self._last = time.monotonic()

    @property
    def elapsed(self) -> str:
        """Since this was made, for people: ``48 s`` or ``7 min 5 s``."""
        return duration(time.monotonic() - self._started)

    def tell(self, line: Callable[[], str]) -> None:
        """Report the line if it is time; else it is not even made."""
        now = time.monotonic()
        if now - self._last >= self._interval:
            self._last = now
            self._report(Progress(line()))


def duration(seconds: float) -> str:
    """A time span for people: ``48 s`` or ``7 min 5 s``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(count: int) -> str:
    """A number of bytes for people, in MiB."""
    return f"{count / 2**20:.1f} MiB"
