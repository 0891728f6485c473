"""The connections to one API server as one identity: one, and more only when it is full."""

import asyncio
import ssl
from collections import deque
from urllib.parse import urlsplit

from kube.connection import Credentials
from kube.errors import Unreachable
from kube.http2.connection import Connection, NotHttp2
from kube.http2.exchange import Refused
from kube.http2.headers import RequestHeaders

MOST_CONNECTIONS = 4
"""Watches count as streams and stay: a server that allows few of them needs more connections."""
FAREWELL_SECONDS = 1.0


class Pool:
    """Opens connections when they are wanted; concurrent askers share one attempt."""

    def __init__(
        self,
        credentials: Credentials,
        context: ssl.SSLContext,
        ping_seconds: float,
        look_seconds: float,
    ) -> None:
        address = urlsplit(credentials.server)
        self._host, self._port = address.hostname or "", address.port or 443
        self._name = credentials.name or self._host
        self._context = context
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._ping_seconds = ping_seconds
        self._look_seconds = look_seconds
        self._connections: list[Connection] = []
        self._attempt: asyncio.Future[Unreachable | NotHttp2 | None] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._drained = False
        self.headers = RequestHeaders(address.netloc, credentials.token)

    @property
    def in_use(self) -> bool:
        """It has connections."""
        return bool(self._connections)

    def with_room(self) -> Connection | None:
        """A connection that takes one more stream, without waiting, unless others wait already."""
        return None if self._waiting else self._found()

    async def connection(self) -> Connection:
        """A connection that takes one more stream, right now: use it before the next await.

        Raises Unreachable and NotHttp2. The caller bounds the time.
        """
        found = self.with_room()
        first = True
        while found is None:
            if self._drained:
                raise Refused("the client was closed, or has new credentials")
            if self._usable < MOST_CONNECTIONS:
                await self._dial(first=first)
            else:
                await self._turn(first=first)
            first = False
            found = self._found()
        return found

    def drain(self) -> None:
        """Let the streams end, and open no connection any more."""
        self._drained = True
        for connection in list(self._connections):
            connection.drain()

    async def close(self) -> None:
        """Close all connections."""
        self._drained = True
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                for connection in connections:
                    await connection.disconnected()
        except TimeoutError:
            pass

    def _found(self) -> Connection | None:
        for connection in self._connections:
            if connection.streams.room > 0:
                return connection
        return None

    @property
    def _usable(self) -> int:
        return sum(not item.streams.draining for item in self._connections)

    async def _dial(self, *, first: bool) -> None:
        """Open a connection, or wait for the attempt that is under way."""
        if self._attempt is not None:
            failure = await asyncio.shield(self._attempt)
        else:
            failure = await self._attempted()
        if failure is not None and not self._usable:
            raise type(failure)(*failure.args)
        if failure is not None:
            await self._turn(first=first)

    async def _attempted(self) -> Unreachable | NotHttp2 | None:
        attempt = self._attempt = asyncio.get_running_loop().create_future()
        failure: Unreachable | NotHttp2 | None = None
        try:
            connection = Connection(self._changed, self._ping_seconds, self._look_seconds)
            await connection.open(self._host, self._port, self._context, self._name)
            self._connections.append(connection)
            if self._drained:
                connection.close()
            self._changed()
        except (Unreachable, NotHttp2) as error:
            failure = error
        finally:
            self._attempt = None
            # Not as an exception: nobody may be waiting. After a cancellation the next one dials.
            attempt.set_result(failure)
        return failure

    async def _turn(self, *, first: bool) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.append(turn)
        else:  # it had its turn, but another was faster
            self._waiting.appendleft(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            self._changed()  # its turn may be another's
            raise

    def _changed(self) -> None:
        for connection in self._connections:
            if connection.closed_because:
                self._connections = [item for item in self._connections if not item.closed_because]
                break
        if not self._waiting:
            return
        room = sum(item.streams.room for item in self._connections)
        wanted = room if self._usable else len(self._waiting)
        for _ in range(min(wanted, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
