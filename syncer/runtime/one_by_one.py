"""Lets what is dear be done for one object of a tenant at a time, and not all the time."""

import asyncio
from collections.abc import Callable

from syncer.runtime.workqueue import Request


class OneByOne:
    """Between two begins of one tenant lie ``pause`` seconds at least; who has to wait is asked for.

    ``ask`` is called when it is the turn of a request that was told to wait. It keeps its turn until
    the next one is asked for, so one that does not come back holds nobody up.
    """

    def __init__(self, pause: float, ask: Callable[[Request], None]) -> None:
        self._pause = pause
        self._ask = ask
        self._waiting: dict[str, dict[Request, None]] = {}
        """By tenant; one that is not here may begin."""
        self._turn: dict[str, Request] = {}
        self._under_way: set[str] = set()

    def begin(self, request: Request) -> bool:
        """False: it is told to wait. True: say ``end`` afterwards."""
        tenant = request.tenant
        if tenant not in self._waiting:
            self._waiting[tenant] = {}
            self._later(tenant)
        elif self._turn.get(tenant) != request:
            self._waiting[tenant][request] = None
            return False
        else:
            del self._turn[tenant]
        self._under_way.add(tenant)
        return True

    def end(self, request: Request) -> None:
        """It is done, well or badly."""
        self._under_way.discard(request.tenant)

    def _later(self, tenant: str) -> None:
        asyncio.get_running_loop().call_later(self._pause, self._next, tenant)

    def _next(self, tenant: str) -> None:
        waiting = self._waiting[tenant]
        if tenant in self._under_way:
            self._later(tenant)
        elif waiting:
            request = next(iter(waiting))
            del waiting[request]
            self._turn[tenant] = request
            self._later(tenant)
            self._ask(request)
        else:
            self._turn.pop(tenant, None)
            del self._waiting[tenant]
