"""Whose turn it is among tenants that ask the super cluster for something, few at a time.

What an API server on busy cores is asked at once waits inside it, first come first served: there nobody
passes a loud tenant's requests. Kept back here, the next one is of the tenant that has the fewest under way,
and among these of the one that has had the fewest turns lately: a quiet tenant passes all loud ones
(start-time fair queueing: Goyal, Vin, Cheng, 1996; with some turns of credit for who comes back). While a
quiet one is about, loud ones stand back further (``yielding``).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from syncer.runtime.allowance import Allowance
from syncer.runtime.yielding import Yielding

CREDIT = 4
"""Turns that a tenant may have at once, before all that wait, when it had none for as many rounds: two pods
with their tokens."""
FEW = 1024


class FairShare:
    """Lets as many pass at a time as ``allowance`` says.

    ``weight`` of a tenant: of two that always wait, one with the weight 2 has twice as many turns.
    A tenant is quiet while it has had clearly fewer turns than those that always wait, and loud else.
    Nobody is held back for a quiet one while so many wait as ``most_held`` says: each keeps a worker, of
    which the quiet one needs some, too.
    """

    def __init__(
        self,
        allowance: Allowance,
        yielding: Yielding,
        most_held: int,
        weight: Callable[[str], int] = lambda tenant: 1,
    ) -> None:
        self._allowance = allowance
        self._yielding = yielding
        self._most_held = most_held
        self._weight = weight
        self._passed = 0
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[bool]]] = {}
        self._rounds = 0.0
        """Turns that a tenant of weight 1 had which always waited: how far the others are."""
        self._next_turns: dict[str, float] = {}
        """Where among the rounds a tenant's next turn is; of those that are further than CREDIT allows."""
        self._many = FEW

    @property
    def scarce(self) -> bool:
        """Somebody waits, and would not if more were given at once."""
        return bool(self._waiting) and self._passed >= self._allowance.limit

    def waiting(self, tenant: str) -> int:
        """How many requests of the tenant wait for their turn."""
        return sum(not turn.done() for turn in self._waiting.get(tenant, ()))

    async def enter(self, tenant: str) -> bool:
        """Wait for one's turn. Whoever has come through calls ``leave``; says whether it is loud."""
        if self._waiting:
            self._go_on()  # time has passed: those that were held back come before a newcomer
        loud = self._is_loud(tenant)
        if self._passed < self._allowance.limit and not (loud and self._holds):
            return self._pass(tenant)
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had its turn already
                self.leave(tenant, turn.result(), 0.0)
            raise

    def leave(self, tenant: str, loud: bool, seconds: float) -> None:
        """One has ended, after that time: the next may go. ``loud``: as ``enter`` has said."""
        self._passed -= 1
        if left := self._under_way[tenant] - 1:
            self._under_way[tenant] = left
        else:
            del self._under_way[tenant]
        if loud and (rest := self._yielding.loud_ends(seconds)):
            asyncio.get_running_loop().call_later(rest, self._rested)
        self._go_on()

    def _rested(self) -> None:
        self._yielding.rested()
        self._go_on()

    def _go_on(self) -> None:
        while self._passed < self._allowance.limit and (tenant := self._next()) is not None:
            queue = self._waiting.pop(tenant)
            turn = queue.popleft()
            if queue:
                self._waiting[tenant] = queue  # last among its equals from now on
            if not turn.cancelled():
                turn.set_result(self._pass(tenant))

    def _next(self) -> str | None:
        """Whose turn it is of those that wait."""
        waiting: Iterable[str] = self._waiting
        if self._holds:
            waiting = [tenant for tenant in waiting if not self._is_loud(tenant)]
        return min(waiting, key=self._rank, default=None)

    @property
    def _holds(self) -> bool:
        """No other loud request may go now."""
        if not self._yielding.holds:
            return False
        return sum(len(queue) for queue in self._waiting.values()) < self._most_held

    def _is_loud(self, tenant: str) -> bool:
        return self._next_turn(tenant) > self._rounds - CREDIT / 2

    def _rank(self, tenant: str) -> tuple[float, float]:
        return self._under_way.get(tenant, 0) / self._weight(tenant), self._next_turn(tenant)

    def _next_turn(self, tenant: str) -> float:
        earliest = self._rounds - CREDIT
        return max(self._next_turns.get(tenant, earliest), earliest)

    def _pass(self, tenant: str) -> bool:
        if loud := self._is_loud(tenant):
            self._yielding.loud_goes()
        turn = self._next_turn(tenant)
        self._rounds = max(self._rounds, turn)
        self._next_turns[tenant] = turn + 1 / self._weight(tenant)
        self._passed += 1
        self._under_way[tenant] = self._under_way.get(tenant, 0) + 1
        if len(self._next_turns) > self._many:
            past = self._rounds - CREDIT
            self._next_turns = {name: at for name, at in self._next_turns.items() if at > past}
            self._many = max(FEW, 2 * len(self._next_turns))
        return loud
