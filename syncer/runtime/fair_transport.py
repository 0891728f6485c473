"""Requests to the super cluster on behalf of tenants take turns (``fair_share``)."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from http import HTTPStatus

from kube.transport import Response, Stream, Transport
from syncer.runtime.allowance import Allowance
from syncer.runtime.fair_share import FairShare
from syncer.runtime.yielding import Yielding

on_behalf_of: ContextVar[str] = ContextVar("on_behalf_of", default="")
"""The tenant for which this task works; empty: none, and it never waits."""

SLOW_SECONDS = 0.5
"""After that a request does not count any more. What takes so long is no work for the API server: it waits
there, for a webhook that hangs for example, and must not keep others from their turn."""
LARGE = 32 * 1024
"""Bytes of an answer. What is larger takes longer, which says nothing of how busy the server is: it is the
tenant's choice."""


@contextmanager
def out_of_turn() -> Iterator[None]:
    """What is asked inside this block does not wait: somebody counts on its being sent at once."""
    before = on_behalf_of.set("")
    try:
        yield
    finally:
        on_behalf_of.reset(before)


def kind_of(method: str, target: str) -> str:
    """What a request does to which resource: webhooks make the creation of pods slow, and of nothing else."""
    parts = target.partition("?")[0].split("/")
    at = 3 if parts[1] == "api" else 4
    if parts[at] == "namespaces" and len(parts) > at + 2:
        at += 2
    return f"{method} {parts[at]}"


class _Place:
    def __init__(
        self, share: FairShare, tenant: str, loud: bool, clock: Callable[[], float]
    ) -> None:
        self._share = share
        self._tenant = tenant
        self.loud = loud
        self._clock = clock
        self.start = clock()
        self._left = False

    def leave(self) -> None:
        """Done again, it changes nothing."""
        if not self._left:
            self._left = True
            self._share.leave(self._tenant, self.loud, self._clock() - self.start)


class FairTransport:
    """A transport whose requests on behalf of tenants take turns, ``most`` at once; streams do not.

    ``most_held``, ``weight``: see FairShare. ``observe`` is told how many seconds each request waited.
    """

    def __init__(
        self,
        transport: Transport,
        most: int,
        most_held: int,
        weight: Callable[[str], int] = lambda tenant: 1,
        observe: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._observe = observe
        self._clock = clock
        self._allowance = Allowance(most, clock)
        self._yielding = Yielding(clock)
        self._share = FairShare(self._allowance, self._yielding, most_held, weight)

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
        loud = await self._share.enter(tenant)
        place = _Place(self._share, tenant, loud, self._clock)
        slow = asyncio.get_running_loop().call_later(SLOW_SECONDS, place.leave)
        self._observe(place.start - asked)
        try:
            response = await self._transport.request(method, target, headers, body, timeout)
            self._learn(method, target, response, place)
            return response
        finally:
            slow.cancel()
            place.leave()

    def _learn(self, method: str, target: str, response: Response, place: _Place) -> None:
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._allowance.pressed()
            return
        if response.status >= HTTPStatus.MULTIPLE_CHOICES or len(response.body) > LARGE:
            return
        if method != "GET":
            # What is refused is refused quickly, and what reading takes hangs on how much is read.
            seconds = self._clock() - place.start
            slow = self._allowance.answered(kind_of(method, target), seconds, self._share.scarce)
            self._yielding.answered(slow, place.loud)

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
