"""How much one tenant, and all together, may ask at once: who asks too much slows only itself."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

from node_agent.http1 import Refused

REPORTS_AT_ONCE = 2
HEADS_AT_ONCE = 16
"""Of one tenant: heads of requests that are being read."""


class Limits:
    """Counts connections and reports, by tenant key."""

    def __init__(self, connections: int, tenant_connections: int) -> None:
        self._most = connections
        self._most_of_tenant = tenant_connections
        self.connections: Counter[str] = Counter()
        self._reports = asyncio.Semaphore(REPORTS_AT_ONCE)
        self._heads: dict[str, asyncio.Semaphore] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    @contextmanager
    def connection(self, tenant: str) -> Iterator[None]:
        """One more connection of the tenant. Raises Refused."""
        if self.connections[tenant] >= self._most_of_tenant:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"the node serves {self._most_of_tenant} connections at once, no more",
            )
        if self.connections.total() >= self._most:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the node has too many connections")
        self.connections[tenant] += 1
        try:
            yield
        finally:
            self.connections[tenant] -= 1
            if not self.connections[tenant]:
                del self.connections[tenant]
                self._heads.pop(tenant, None)
                self._turns.pop(tenant, None)

    def head(self, tenant: str) -> asyncio.Semaphore:
        """Held while the head of a request is read."""
        return self._heads.setdefault(tenant, asyncio.Semaphore(HEADS_AT_ONCE))

    @asynccontextmanager
    async def report(self, tenant: str) -> AsyncIterator[None]:
        """Held while a report is made: one of a tenant at a time, so that tenants take turns."""
        async with self._turns.setdefault(tenant, asyncio.Lock()), self._reports:
            yield
