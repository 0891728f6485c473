"""How often each of many may do something. Pure but for the clock it is given."""

import time
from collections.abc import Callable, Hashable

_SHORTEST = 0.001
"""Seconds: a shorter wait is none."""
_FEW = 1024


class Pace:
    """``per_second`` in the long run; after a pause, ``at_once`` without any wait.

    Who has been quiet long enough is forgotten, so that memory is that of the busy ones.
    """

    def __init__(
        self, per_second: float, at_once: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / per_second
        self._grace = (at_once - 1) * self._interval
        self._clock = clock
        self._due: dict[Hashable, float] = {}
        """When the next one would be due, had all come at that pace."""
        self._many = _FEW

    def delay(self, key: Hashable) -> float:
        """How many seconds to wait before the next one, which is counted by this."""
        now = self._clock()
        due = max(self._due.get(key, 0.0), now - self._grace)
        self._due[key] = due + self._interval
        if len(self._due) > self._many:
            past = now - self._grace
            self._due = {key: then for key, then in self._due.items() if then > past}
            self._many = max(_FEW, 2 * len(self._due))
        wait = due - now
        return wait if wait > _SHORTEST else 0.0

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._due)
