"""When the answers to requests have to be there: one timer for all of them."""

import asyncio

from kube.errors import Unreachable
from kube.http2.exchange import Exchange


class Deadlines:
    """Fails exchanges that take too long.

    Nearly all requests are answered in time. So the timer is not moved when one is: it goes off at a
    deadline that once was the first, and looks which one is next.
    """

    def __init__(self) -> None:
        self._due: dict[Exchange, tuple[float, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, exchange: Exchange, deadline: float, timeout: float) -> None:
        """Fail the exchange at ``deadline`` (the loop's clock), which is after ``timeout`` seconds."""
        self._due[exchange] = deadline, timeout
        if self._timer is None or deadline < self._timer.when():
            self._arm(deadline)

    def remove(self, exchange: Exchange) -> None:
        """It has ended."""
        self._due.pop(exchange, None)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for exchange, (deadline, timeout) in list(self._due.items()):
            if deadline <= now:
                del self._due[exchange]
                exchange.fail(Unreachable(f"no answer within {timeout:g} s"))
        if self._due:
            self._arm(min(deadline for deadline, _ in self._due.values()))
