"""A queue of keys that is fair between tenants."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from syncer.runtime.pace import Pace

LOOKS_IN_A_ROW = 20
"""At one object, without any rest: more than a pod's whole life needs."""
LOOKS_PER_SECOND = 5.0
"""In the long run: what it is then matters to the other side, not all that it was."""


class Request(NamedTuple):
    """Which object of which tenant to look at; never what happened to it.

    Namespace and name are the tenant's.
    """

    tenant: str
    kind: str
    namespace: str
    name: str


class _Line:
    """One tenant's requests that wait."""

    __slots__ = ("credit", "inflight", "left", "paused", "together", "waiting", "weight")

    def __init__(self) -> None:
        self.waiting: deque[Request] = deque()
        self.weight = 1
        self.credit = 0
        self.inflight = 0
        self.paused = False
        self.together = False  # the next request belongs to the last one
        self.left = False  # forgotten, but workers still hold requests of it


class WorkQueue:
    """Each request waits at most once; tenants are served by weight, in turn (deficit round robin).

    A request added while a worker holds it is handed out again after ``done``, so one object is never
    reconciled by two workers at a time. At most ``inflight`` requests of one tenant are held at once.
    A paused tenant's requests are kept and not handed out. An object that is asked for all the time rests
    between two looks: its tenant could else have us write below as fast as it writes above.
    """

    def __init__(self, inflight: int) -> None:
        self._inflight = inflight
        self._lines: dict[str, _Line] = {}
        self._turn: dict[str, None] = {}  # tenants that can be served, the next one first
        self._pending: dict[Request, float] = {}  # since when, in monotonic seconds
        self._active: set[Request] = set()
        self._followed: set[Request] = set()
        self._delayed: dict[Request, asyncio.TimerHandle] = {}
        self._retries: set[Request] = set()  # of those delayed
        self._looks = Pace(LOOKS_PER_SECOND, LOOKS_IN_A_ROW)
        self._resting: dict[Request, asyncio.TimerHandle] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._draining: dict[str, list[asyncio.Future[None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.waited = 0.0
        """Seconds that the request handed out last had waited."""

    def add(self, request: Request) -> None:
        """Ask for a look at an object, now."""
        if request in self._pending:
            return
        if timer := self._delayed.pop(request, None):
            timer.cancel()
            self._retries.discard(request)
        self._pending[request] = time.monotonic()
        if request not in self._active and request not in self._resting:
            self._enqueue(request)

    def add_together(self, requests: Sequence[Request]) -> None:
        """Ask for a look at several objects of one tenant, one right after the other.

        They are handed out in one turn of their tenant, which then waits for as many of the others'.
        """
        for request in requests:
            # It is we who ask, and of all of them now: none rests.
            if timer := self._resting.pop(request, None):
                timer.cancel()
                if request in self._pending:
                    self._enqueue(request)
            self.add(request)
        self._followed.update(requests[:-1])

    def add_after(self, request: Request, seconds: float) -> None:
        """Ask for a look later; an earlier ``add`` makes this one void."""
        if request in self._pending or request in self._delayed:
            return
        loop = asyncio.get_running_loop()
        self._delayed[request] = loop.call_later(seconds, self._due, request)

    def retry_after(self, request: Request, seconds: float) -> None:
        """As ``add_after``, for a request that has failed: ``hurry`` makes the wait void."""
        if (timer := self._delayed.get(request)) is not None:
            if timer.when() <= asyncio.get_running_loop().time() + seconds:
                return
            del self._delayed[request]
            timer.cancel()
        self.add_after(request, seconds)
        if request in self._delayed:
            self._retries.add(request)

    def hurry(self, tenant: str = "") -> None:
        """There is reason to believe that what has failed succeeds now; of one tenant, or of all."""
        for request in [one for one in self._retries if tenant in ("", one.tenant)]:
            self.add(request)

    async def get(self) -> Request:
        """The next request, by fairness. The caller must say ``done``."""
        while not self._turn:
            if self._loop is None:  # asked for once: it is a system call each time
                self._loop = asyncio.get_running_loop()
            getter: asyncio.Future[None] = self._loop.create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake_one()  # the wake-up was ours: pass it on
                raise
        tenant, line = self._next_line()
        request = line.waiting.popleft()
        line.together = request in self._followed
        self._followed.discard(request)
        line.credit -= 1
        line.inflight += 1
        if (line.credit < 1 and not line.together) or not self._can_be_served(line):
            del self._turn[tenant]
            if not line.waiting:
                line.credit, line.together = min(line.credit, 0), False
            if self._can_be_served(line):
                self._turn[tenant] = None
        self.waited = time.monotonic() - self._pending.pop(request)
        self._active.add(request)
        if self._turn:
            self._wake_one()  # a resumed tenant has work for more than one worker
        return request

    def done(self, request: Request) -> None:
        """The worker is through with the request, well or badly."""
        self._active.remove(request)
        line = self._lines[request.tenant]
        line.inflight -= 1
        if self._draining and not line.inflight:
            for waiter in self._draining.pop(request.tenant, ()):
                if not waiter.done():
                    waiter.set_result(None)
        if rest := self._looks.delay(request):
            loop = asyncio.get_running_loop()
            self._resting[request] = loop.call_later(rest, self._rested, request)
        elif request in self._pending:
            self._enqueue(request)
            return
        if line.left and not line.inflight:
            del self._lines[request.tenant]
        else:
            self._offer(request.tenant, line)

    def set_weight(self, tenant: str, weight: int) -> None:
        """How many requests the tenant gets in its turn."""
        self._line(tenant).weight = max(1, weight)

    def weight(self, tenant: str) -> int:
        """As set; 1 for a tenant that is not known."""
        line = self._lines.get(tenant)
        return line.weight if line else 1

    def pause(self, tenant: str) -> None:
        """Keep the tenant's requests, and hand none out."""
        self._line(tenant).paused = True
        self._turn.pop(tenant, None)

    def resume(self, tenant: str) -> None:
        """Hand out the tenant's requests again."""
        line = self._line(tenant)
        line.paused = False
        self._offer(tenant, line)

    def forget(self, tenant: str) -> None:
        """Drop all that waits for the tenant; what workers hold still counts against its limit."""
        self._turn.pop(tenant, None)
        for request in [request for request in self._pending if request.tenant == tenant]:
            del self._pending[request]
        self._followed = {request for request in self._followed if request.tenant != tenant}
        for request in [request for request in self._delayed if request.tenant == tenant]:
            self._delayed.pop(request).cancel()
            self._retries.discard(request)
        for request in [request for request in self._resting if request.tenant == tenant]:
            self._resting.pop(request).cancel()
        line = self._lines.pop(tenant, None)
        if line is not None and line.inflight:
            held = self._lines[tenant] = _Line()
            held.inflight, held.left = line.inflight, True

    async def drained(self, tenant: str) -> None:
        """Wait until no worker holds a request of the tenant."""
        while (line := self._lines.get(tenant)) is not None and line.inflight:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._draining.setdefault(tenant, []).append(waiter)
            await waiter

    def depth(self, tenant: str) -> int:
        """How many requests of the tenant wait to be handed out."""
        line = self._lines.get(tenant)
        return len(line.waiting) if line else 0

    def __len__(self) -> int:
        """How many requests wait to be handed out."""
        return sum(len(line.waiting) for line in self._lines.values())

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is worked on; delayed requests do not count."""
        resting = self._resting.keys() & self._pending.keys()
        return not self._active and not len(self) and not resting

    def _next_line(self) -> tuple[str, _Line]:
        while True:
            tenant = next(iter(self._turn))
            line = self._lines[tenant]
            if line.together:
                return tenant, line
            if line.credit < 1:
                line.credit += line.weight
            if line.credit > 0:
                return tenant, line
            del self._turn[tenant]  # it still pays for what it was served together
            self._turn[tenant] = None

    def _line(self, tenant: str) -> _Line:
        if (line := self._lines.get(tenant)) is None:
            line = self._lines[tenant] = _Line()
        line.left = False
        return line

    def _can_be_served(self, line: _Line) -> bool:
        return bool(line.waiting) and not line.paused and line.inflight < self._inflight

    def _enqueue(self, request: Request) -> None:
        line = self._line(request.tenant)
        line.waiting.append(request)
        self._offer(request.tenant, line)

    def _offer(self, tenant: str, line: _Line) -> None:
        if self._can_be_served(line):
            self._turn.setdefault(tenant)
            self._wake_one()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _rested(self, request: Request) -> None:
        del self._resting[request]
        if request in self._pending:
            self._enqueue(request)

    def _due(self, request: Request) -> None:
        del self._delayed[request]
        self._retries.discard(request)
        self.add(request)
