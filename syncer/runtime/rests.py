"""How long an object that changes all the time is left alone between two looks. Pure but for its clock."""

import time
from collections.abc import Callable, Hashable

IN_A_ROW = 20
"""An object may be looked at so often without any rest: more than a pod's whole life needs."""
PER_SECOND = 5.0
"""And so often in the long run: what it is then matters to the other side, not all that it was."""
_SHORTEST = 0.001
_FEW = 1024


class Rests:
    """Counts looks by object. What has had its rest is forgotten, so memory is that of busy objects."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._interval = 1 / PER_SECOND
        self._grace = IN_A_ROW * self._interval
        self._due: dict[Hashable, float] = {}
        """When the next look would be due, had all come at that pace."""
        self._many = _FEW

    def after_look(self, looked_at: Hashable) -> float:
        """Count a look; for how many seconds there should be none."""
        now = self._clock()
        due = max(self._due.get(looked_at, 0.0), now - self._grace) + self._interval
        self._due[looked_at] = due
        if len(self._due) > self._many:
            self._due = {key: then for key, then in self._due.items() if then > now - self._grace}
            self._many = max(_FEW, 2 * len(self._due))
        rest = due - now
        return rest if rest > _SHORTEST else 0.0

    def __len__(self) -> int:
        """How many objects are remembered."""
        return len(self._due)
