"""How many requests an API server is given at once: as many as do not make it slower."""

import time
from collections.abc import Callable

LEAST = 2
"""However slow it is: one that waits for its disk does no work meanwhile."""
SLOWER = 4.0
"""So many times what a request takes when nobody waits, and there are too many under way."""
STEP = 0.25
WINDOW_SECONDS = 300.0


class Allowance:
    """Between ``LEAST`` and ``most``; follows what the answers take.

    The most that is given is where half of the answers take ``SLOWER`` times as long as the quickest of
    their kind in the last minutes: what is sent beyond that only waits inside the API server, first come
    first served. Pure but for the clock it is given.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(most)
        self._least = float(min(LEAST, most))
        self._exact = self._least
        self._clock = clock
        self._until = clock() + WINDOW_SECONDS
        self._before: dict[str, float] = {}
        self._quickest: dict[str, float] = {}

    @property
    def limit(self) -> int:
        """Requests at once."""
        return int(self._exact)

    def answered(self, kind: str, seconds: float, scarce: bool) -> bool:
        """A request of this kind took so long, which is told to be slow or not.

        ``scarce``: others waited for their turn meanwhile.
        """
        quickest = min(seconds, self._quickest.get(kind, seconds))
        self._quickest[kind] = quickest
        slow = seconds > SLOWER * min(quickest, self._before.get(kind, quickest))
        if slow:
            self._exact = max(self._least, self._exact - STEP)
        elif scarce:
            self._exact = min(self._most, self._exact + STEP)
        if self._clock() >= self._until:  # an API server may have moved further away for good
            self._until = self._clock() + WINDOW_SECONDS
            self._before, self._quickest = self._quickest, {}
        return slow

    def pressed(self) -> None:
        """It said itself that it has too much to do."""
        self._exact = self._least
