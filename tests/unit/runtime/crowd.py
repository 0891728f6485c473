"""A server that answers when it is told to, and tenants that take turns at it."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from kube.transport import Response, Stream
from syncer.runtime.fair_transport import FairTransport, on_behalf_of

OK = Response(200, None, b"")
PODS = "/api/v1/namespaces/web/pods"
TURNS = 5
"""Of the event loop: more than an answer takes to let the next request through."""


class Server:
    """Answers a request when it is told to; remembers who asked, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._open: list[asyncio.Future[Response]] = []

    @property
    def under_way(self) -> int:
        return len(self._open)

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        self.asked.append(target.removeprefix(f"{PODS}/"))
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._open.append(answer)
        try:
            return await answer
        finally:
            if answer in self._open:
                self._open.remove(answer)

    def answer(self, place: int = 0, status: int = 200, body: bytes = b"") -> None:
        self._open.pop(place).set_result(Response(status, None, body))

    def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        timeout: float,
        silence: float | None = None,
        body: bytes = b"",
    ) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Crowd:
    """Tenants that ask a server through turns of which there are ``limit`` at a time."""

    def __init__(
        self, limit: int, weight: Callable[[str], int] = lambda tenant: 1, most_held: int = 1000
    ) -> None:
        self.server = Server()
        self.now = 0.0
        """By the transport's clock: it stands still unless the test moves it."""
        self.waits: list[float] = []
        self.transport = FairTransport(
            self.server, limit, most_held, weight, self.waits.append, lambda: self.now
        )

    async def ask(self, tenant: str, method: str = "POST") -> "asyncio.Task[Response]":
        """Begin a request; it is under way, or waits, when this returns."""

        async def request() -> Response:
            on_behalf_of.set(tenant)
            return await self.transport.request(method, f"{PODS}/{tenant}", {}, b"", 5.0)

        task = asyncio.create_task(request())
        await asyncio.sleep(0)
        return task

    async def answers(self, number: int = 1, status: int = 200) -> None:
        """The server answers the oldest ones, one after the other; each time the next comes through."""
        for _ in range(number):
            self.server.answer(status=status)
            for _ in range(TURNS):
                await asyncio.sleep(0)
