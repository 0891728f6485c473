"""Notices when somebody sets the wall clock back."""

import time
from collections.abc import Callable

NOTICED_SECONDS = 1.0
"""Less is the slow correction that clocks get all the time."""


def seconds_since_boot() -> float:
    """Never set, and goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WallClock:
    """Compares ``wall`` with ``steady``, both in seconds."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._wall, self._steady = wall, steady
        self._seen = wall() - steady()

    def set_back(self) -> float:
        """By how many seconds it was set back since the last call; 0 if it was not."""
        now = self._wall() - self._steady()
        back, self._seen = self._seen - now, now
        return back if back > NOTICED_SECONDS else 0.0
