"""How far loud tenants stand back while a quiet one is about, so that it hardly notices them.

On cores that are all busy each step of a quiet tenant's pod waits, however short the lines are: what loud
ones have asked for goes on being worked on. They are asked for less then than could be done.
"""

import time
from collections.abc import Callable

QUIET_SECONDS = 1.0
"""So long after its last slow answer a quiet tenant is about. No longer: those who begin a burst together
are quiet at first, and must not hold each other back for long."""
MOST = 2.0
"""That many loud requests at once, and more, are not held back here."""
LEAST = 0.5
"""One at a time, with a rest after each as long as it took."""
STEP = 0.25
LONGEST_REST = 0.5
"""Seconds; as long as a request counts at most."""
BUSY = 0.25
"""Of the loud ones' answers so many are slow, and the server is busy. Where they are quick, what makes a
quiet tenant's answers slow is its own: a webhook for its pods, say."""
MEMORY = 0.1
"""The weight of the newest answer in that share."""


class Yielding:
    """Counts loud tenants' requests; says when the next one may go. Pure but for the clock it is given.

    An answer is slow if it takes clearly longer than it does when nothing else is asked.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._exact = MOST
        self._under_way = 0
        self._until = -1.0
        self._rests = False
        self._slow_ones = 0.0
        """The share of slow answers among the loud ones' last."""

    @property
    def _is_on(self) -> bool:
        return self._exact < MOST and self._clock() < self._until

    @property
    def holds(self) -> bool:
        """No other loud request may go now."""
        if not self._is_on:
            return False
        return self._under_way >= max(1, int(self._exact)) or self._rests

    def answered(self, slow: bool, loud: bool) -> None:
        """A request was answered, of a loud tenant or of a quiet one."""
        if loud:
            self._slow_ones += (slow - self._slow_ones) * MEMORY
        elif not slow:
            self._exact = min(MOST, self._exact + STEP)
        elif self._slow_ones >= BUSY:
            self._exact = max(LEAST, self._exact - STEP)
            self._until = self._clock() + QUIET_SECONDS

    def loud_goes(self) -> None:
        """A loud tenant's request is under way."""
        self._under_way += 1

    def loud_ends(self, seconds: float) -> float:
        """It took so long. In how many seconds the caller has to say ``rested``; 0: it does not.

        Until then no other loud one goes, if a quiet tenant is about.
        """
        self._under_way -= 1
        if self._exact >= 1 or self._rests or not self._is_on:
            return 0.0
        rest = min(LONGEST_REST, seconds * (1 / self._exact - 1))
        self._rests = rest > 0
        return rest

    def rested(self) -> None:
        """The next loud one may go."""
        self._rests = False
