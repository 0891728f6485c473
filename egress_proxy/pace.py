"""How often one tenant may make us ask the super cluster. Pure but for the clock it is given."""

import time
from collections.abc import Callable


class Pace:
    """``per_second`` in the long run; after a pause, ``at_once`` without any wait."""

    def __init__(
        self, per_second: float, at_once: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / per_second
        self._grace = (at_once - 1) * self._interval
        self._clock = clock
        self._next = clock() - self._grace

    def delay(self) -> float:
        """How many seconds to wait before the next one, which is counted by this."""
        now = self._clock()
        due = max(self._next, now - self._grace)
        self._next = due + self._interval
        return max(0.0, due - now)
