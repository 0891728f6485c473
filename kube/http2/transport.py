"""The transport of kube.transport over HTTP/2, for servers that speak it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from kube.connection import Credentials, CredentialSource
from kube.errors import Unreachable
from kube.http2.connection import PING_SECONDS, Connection, NotHttp2
from kube.http2.deadlines import Deadlines
from kube.http2.exchange import LARGEST_ANSWER, WINDOW, Exchange, Refused
from kube.http2.pool import Pool
from kube.transport import AiohttpTransport, Response, Stream, Transport, silent


def transport_for(source: CredentialSource) -> Transport:
    """HTTP/2 where the server speaks it, HTTP/1.1 for plain http and for all others."""
    return Http2Transport(source)


class _Http2Stream:
    def __init__(
        self, connection: Connection, exchange: Exchange, timeout: float, silence: float | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams = connection.streams
        self._exchange = exchange
        self._timeout = timeout
        self._silence = silence
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        if silence is not None:
            self._timer = self._loop.call_later(silence, self._look, silence)
        self.status = exchange.status

    async def chunks(self) -> AsyncIterator[bytes]:
        exchange = self._exchange
        while True:
            if exchange.chunks:
                self._heard = self._loop.time()
                yield self._streams.take(exchange)
            elif exchange.ended:
                return
            else:
                await exchange.wait()

    async def read(self) -> bytes:
        """At most LARGEST_ANSWER bytes, and within the time-out of the stream's begin."""
        found = bytearray()
        try:
            async with asyncio.timeout(self._timeout):
                async for chunk in self.chunks():
                    found += chunk
                    if len(found) > LARGEST_ANSWER:
                        raise Unreachable("the answer is too large")
        except TimeoutError as error:
            raise Unreachable(f"no end of the answer within {self._timeout:g} s") from error
        return bytes(found)

    def leave(self) -> None:
        """The reader wants no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._streams.leave(self._exchange)

    def _look(self, silence: float) -> None:
        """One timer for the whole stream: to set one for each chunk costs more than to read it."""
        quiet = 0.0 if self._exchange.chunks else self._loop.time() - self._heard
        if quiet < silence:
            self._timer = self._loop.call_later(silence - quiet, self._look, silence)
        else:
            self._exchange.fail(silent(silence))


class Http2Transport:
    """Requests and watches as streams of one connection, or of a few if the server allows few streams.

    A request is sent a second time only if the server says that it has not worked on it.
    ``look_seconds``: see channel.Channel; for watches that have time. ``window``: bytes of a stream that
    may be under way; messages larger than that come as slowly as the machine turns to us.
    """

    def __init__(
        self,
        source: CredentialSource,
        ping_seconds: float = PING_SECONDS,
        look_seconds: float = 0.0,
        window: int = WINDOW,
    ) -> None:
        self._source = source
        self._window = window
        self._ping_seconds = ping_seconds
        self._look_seconds = look_seconds
        self._fallback = AiohttpTransport(source)
        self._without: Credentials | None = None
        """With these the server speaks HTTP/1.1 only."""
        self._credentials: Credentials | None = None
        self._pool: Pool | None = None
        self._draining: list[Pool] = []
        self._deadlines = Deadlines()

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        """See Transport."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        refused = Refused("")
        for _ in range(2):
            pool = self._current()
            if pool is None:
                left = max(deadline - loop.time(), 0.0)
                return await self._fallback.request(method, target, headers, body, left)
            block = pool.headers.block(method, target, headers, len(body))
            try:
                connection = pool.with_room() or await self._connected(pool, deadline, timeout)
                exchange = connection.streams.start(block, body, streamed=False)
                self._deadlines.add(exchange, deadline, timeout)
                try:
                    await exchange.wait()
                finally:
                    self._deadlines.remove(exchange)
                    connection.streams.leave(exchange)
            except NotHttp2:
                self._give_up_http2(pool)
            except Refused as error:
                refused = error
            else:
                return Response(exchange.status, exchange.retry_after, exchange.take())
        raise refused

    @asynccontextmanager
    async def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        timeout: float,
        silence: float | None = None,
        body: bytes = b"",
    ) -> AsyncIterator[Stream]:
        """See Transport."""
        stream = await self._started(target, headers, timeout, silence, body)
        if stream is None:
            async with self._fallback.stream(target, headers, timeout, silence, body) as other:
                yield other
            return
        try:
            yield stream
        finally:
            stream.leave()

    async def _started(
        self,
        target: str,
        headers: Mapping[str, str],
        timeout: float,
        silence: float | None,
        body: bytes,
    ) -> _Http2Stream | None:
        """None if the server does not speak HTTP/2."""
        deadline = asyncio.get_running_loop().time() + timeout
        refused = Refused("")
        for _ in range(2):
            pool = self._current()
            if pool is None:
                return None
            method = "POST" if body else "GET"
            block = pool.headers.block(method, target, headers, len(body))
            try:
                connection = pool.with_room() or await self._connected(pool, deadline, timeout)
                exchange = await _answered(connection, block, body, deadline, timeout)
                connection.streams.widen(exchange, self._window - WINDOW)
                return _Http2Stream(connection, exchange, timeout, silence)
            except NotHttp2:
                self._give_up_http2(pool)
            except Refused as error:
                refused = error
        if self._current() is None:
            return None
        raise refused

    async def close(self) -> None:
        """See Transport."""
        pools = [*self._draining, *([self._pool] if self._pool else [])]
        self._pool, self._credentials, self._without, self._draining = None, None, None, []
        for pool in pools:
            await pool.close()
        await self._fallback.close()

    async def _connected(self, pool: Pool, deadline: float, timeout: float) -> Connection:
        try:
            async with asyncio.timeout_at(deadline):
                return await pool.connection()
        except TimeoutError as error:
            raise Unreachable(f"no connection with room within {timeout:g} s") from error

    def _current(self) -> Pool | None:
        """The pool of the credentials that are valid now; None if HTTP/2 is not spoken."""
        try:
            credentials = self._source.current()
        except OSError as error:
            raise Unreachable(f"credentials cannot be read: {error.strerror}") from error
        if credentials is self._without:
            return None
        if self._pool is None or credentials is not self._credentials:
            try:
                context = credentials.ssl_context()
            except (OSError, ValueError) as error:  # a key that does not belong to the certificate
                reason = f"credentials cannot be used: {type(error).__name__}"
                raise Unreachable(reason) from error
            self._drain()
            self._credentials = credentials
            if context is None:
                self._without = credentials
            else:
                self._pool = Pool(credentials, context, self._ping_seconds, self._look_seconds)
        return self._pool

    def _give_up_http2(self, pool: Pool) -> None:
        if pool is self._pool:
            self._without = self._credentials
            self._drain()

    def _drain(self) -> None:
        """Requests under way end on the old identity."""
        self._draining = [pool for pool in self._draining if pool.in_use]
        if self._pool is not None:
            self._pool.drain()
            self._draining.append(self._pool)
            self._pool = None


async def _answered(
    connection: Connection, block: bytes, body: bytes, deadline: float, timeout: float
) -> Exchange:
    """Start a stream and wait for the headers of its answer."""
    exchange = connection.streams.start(block, body, streamed=True)
    try:
        async with asyncio.timeout_at(deadline):
            while not exchange.status:
                await exchange.wait()
    except TimeoutError as error:
        connection.streams.leave(exchange)
        raise Unreachable(f"no answer within {timeout:g} s") from error
    except BaseException:
        connection.streams.leave(exchange)
        raise
    return exchange
