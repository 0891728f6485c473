"""Few requests under way to the super cluster, and whose turn it is among its tenants.

What an API server on busy cores is asked at once waits inside it, first come first served: there nobody
passes a loud tenant's requests. Kept back here, the next one is of the tenant that has the fewest under way.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar

from kube.transport import Response, Stream, Transport

on_behalf_of: ContextVar[str] = ContextVar("on_behalf_of", default="")
"""The tenant for which this task works; empty: none, and it never waits."""

SLOW_SECONDS = 0.5
"""After that a request does not count any more. What takes so long is no work for the API server: it waits
there, for a webhook that hangs for example, and must not keep others from their turn."""


@contextmanager
def out_of_turn() -> Iterator[None]:
    """What is asked inside this block does not wait: somebody counts on its being sent at once."""
    before = on_behalf_of.set("")
    try:
        yield
    finally:
        on_behalf_of.reset(before)


class FairShare:
    """Lets ``limit`` pass at a time."""

    def __init__(self, limit: int) -> None:
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._free = limit

    async def enter(self, tenant: str) -> None:
        """Wait for one's turn. Whoever has come through calls ``leave``."""
        if self._free > 0:
            self._free -= 1
            self._count(tenant, 1)
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
        self._count(tenant, -1)
        self._free += 1
        while self._free and (turn := self._next()) is not None:
            turn.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        """Who has waited longest of the tenant with the fewest under way; it is counted now."""
        while self._waiting:
            tenant = min(self._waiting, key=lambda name: self._under_way.get(name, 0))
            queue = self._waiting.pop(tenant)
            turn = queue.popleft()
            if queue:
                self._waiting[tenant] = queue  # last among its equals from now on
            if not turn.cancelled():
                self._free -= 1
                self._count(tenant, 1)
                return turn
        return None

    def _count(self, tenant: str, change: int) -> None:
        if count := self._under_way.get(tenant, 0) + change:
            self._under_way[tenant] = count
        else:
            del self._under_way[tenant]


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
    """A transport whose requests on behalf of tenants take turns; streams do not."""

    def __init__(self, transport: Transport, limit: int) -> None:
        self._transport = transport
        self._share = FairShare(limit)

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        """See kube.transport.Transport; the wait for one's turn is not in ``timeout``."""
        tenant = on_behalf_of.get()
        if not tenant:
            return await self._transport.request(method, target, headers, body, timeout)
        await self._share.enter(tenant)
        place = _Place(self._share, tenant)
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, place.leave)
        try:
            return await self._transport.request(method, target, headers, body, timeout)
        finally:
            slow.cancel()
            place.leave()

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
