"""Few requests under way to the super cluster, and whose turn it is among its tenants.

What an API server on busy cores is asked at once waits inside it, first come first served: there nobody
passes a loud tenant's requests. Kept back here, the next one is of the tenant that has the fewest under way,
and among these of the one that has had the fewest turns lately: a quiet tenant passes all loud ones
(start-time fair queueing: Goyal, Vin, Cheng, 1996; with some turns of credit for who comes back).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from http import HTTPStatus

from kube.transport import Response, Stream, Transport
from syncer.runtime.allowance import Allowance

on_behalf_of: ContextVar[str] = ContextVar("on_behalf_of", default="")
"""The tenant for which this task works; empty: none, and it never waits."""

SLOW_SECONDS = 0.5
"""After that a request does not count any more. What takes so long is no work for the API server: it waits
there, for a webhook that hangs for example, and must not keep others from their turn."""
CREDIT = 4
"""Turns that a tenant may have at once, before all that wait, when it had none for as many rounds: two pods
with their tokens."""
FEW = 1024


@contextmanager
def out_of_turn() -> Iterator[None]:
    """What is asked inside this block does not wait: somebody counts on its being sent at once."""
    before = on_behalf_of.set("")
    try:
        yield
    finally:
        on_behalf_of.reset(before)


class FairShare:
    """Lets as many pass at a time as ``allowance`` says.

    ``weight`` of a tenant: of two that always wait, one with the weight 2 has twice as many turns.
    """

    def __init__(
        self, allowance: Allowance, weight: Callable[[str], int] = lambda tenant: 1
    ) -> None:
        self._allowance = allowance
        self._weight = weight
        self._passed = 0
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._rounds = 0.0
        """Turns that a tenant of weight 1 had which always waited: how far the others are."""
        self._next_turns: dict[str, float] = {}
        """Where among the rounds a tenant's next turn is; of those that are further than CREDIT allows."""
        self._many = FEW

    @property
    def scarce(self) -> bool:
        """Somebody waits."""
        return bool(self._waiting)

    def waiting(self, tenant: str) -> int:
        """How many requests of the tenant wait for their turn."""
        return sum(not turn.done() for turn in self._waiting.get(tenant, ()))

    async def enter(self, tenant: str) -> None:
        """Wait for one's turn. Whoever has come through calls ``leave``."""
        if self._passed < self._allowance.limit:
            self._pass(tenant)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had its turn already
                self.leave(tenant)
            raise

    def leave(self, tenant: str) -> None:
        """One has ended: the next may go."""
        self._passed -= 1
        if left := self._under_way[tenant] - 1:
            self._under_way[tenant] = left
        else:
            del self._under_way[tenant]
        while self._passed < self._allowance.limit and (turn := self._next()) is not None:
            turn.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        """Who has waited longest of the tenant whose turn it is; it is counted now."""
        while self._waiting:
            tenant = min(self._waiting, key=self._rank)
            queue = self._waiting.pop(tenant)
            turn = queue.popleft()
            if queue:
                self._waiting[tenant] = queue  # last among its equals from now on
            if not turn.cancelled():
                self._pass(tenant)
                return turn
        return None

    def _rank(self, tenant: str) -> tuple[float, float]:
        return self._under_way.get(tenant, 0) / self._weight(tenant), self._next_turn(tenant)

    def _next_turn(self, tenant: str) -> float:
        earliest = self._rounds - CREDIT
        return max(self._next_turns.get(tenant, earliest), earliest)

    def _pass(self, tenant: str) -> None:
        turn = self._next_turn(tenant)
        self._rounds = max(self._rounds, turn)
        self._next_turns[tenant] = turn + 1 / self._weight(tenant)
        self._passed += 1
        self._under_way[tenant] = self._under_way.get(tenant, 0) + 1
        if len(self._next_turns) > self._many:
            past = self._rounds - CREDIT
            self._next_turns = {name: at for name, at in self._next_turns.items() if at > past}
            self._many = max(FEW, 2 * len(self._next_turns))


def kind_of(method: str, target: str) -> str:
    """What a request does to which resource: webhooks make the creation of pods slow, and of nothing else."""
    parts = target.partition("?")[0].split("/")
    at = 3 if parts[1] == "api" else 4
    if parts[at] == "namespaces" and len(parts) > at + 2:
        at += 2
    return f"{method} {parts[at]}"


class _Place:
    def __init__(self, share: FairShare, tenant: str) -> None:
        self._share = share
        self._tenant = tenant
        self._left = False

    def leave(self) -> None:
        """Done again, it changes nothing."""
        if not self._left:
            self._left = True
            self._share.leave(self._tenant)


class FairTransport:
    """A transport whose requests on behalf of tenants take turns, ``most`` at once; streams do not.

    ``weight``: see FairShare. ``observe`` is told how many seconds each request waited for its turn.
    """

    def __init__(
        self,
        transport: Transport,
        most: int,
        weight: Callable[[str], int] = lambda tenant: 1,
        observe: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._observe = observe
        self._clock = clock
        self._allowance = Allowance(most, clock)
        self._share = FairShare(self._allowance, weight)

    @property
    def limit(self) -> int:
        """How many pass at once now."""
        return self._allowance.limit

    def waiting(self, tenant: str) -> int:
        """How many requests of the tenant wait for their turn."""
        return self._share.waiting(tenant)

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        """See kube.transport.Transport; the wait for one's turn is not in ``timeout``."""
        tenant = on_behalf_of.get()
        if not tenant:
            return await self._transport.request(method, target, headers, body, timeout)
        asked = self._clock()
        await self._share.enter(tenant)
        place = _Place(self._share, tenant)
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, place.leave)
        start = self._clock()
        self._observe(start - asked)
        try:
            response = await self._transport.request(method, target, headers, body, timeout)
            self._learn(method, target, response, self._clock() - start)
            return response
        finally:
            slow.cancel()
            place.leave()

    def _learn(self, method: str, target: str, response: Response, seconds: float) -> None:
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._allowance.pressed()
        elif response.status < HTTPStatus.MULTIPLE_CHOICES and method != "GET":
            # What is refused is refused quickly, and what reading takes hangs on how much is read.
            self._allowance.answered(kind_of(method, target), seconds, self._share.scarce)

    def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        timeout: float,
        silence: float | None = None,
        body: bytes = b"",
    ) -> AbstractAsyncContextManager[Stream]:
        """See kube.transport.Transport."""
        return self._transport.stream(target, headers, timeout, silence, body)

    async def close(self) -> None:
        """See kube.transport.Transport."""
        await self._transport.close()
