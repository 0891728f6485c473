"""One HTTP/2 connection to one API server: how it is opened, kept alive and closed."""

import asyncio
import ssl
from collections.abc import Callable

from kube.errors import Unreachable
from kube.http2 import frames
from kube.http2.channel import Channel
from kube.http2.frames import Code, ProtocolError
from kube.http2.streams import GREETING, Streams

PING_SECONDS = 10.0
"""How often a connection is looked at: silent, it is pinged; still silent, it is given up."""
IDLE_LOOKS = 6
"""A connection that carries no stream as often as it is looked at is closed."""


class NotHttp2(Exception):
    """The server answers, but does not speak HTTP/2."""


class Connection:
    """Streams over a channel. ``changed``: see streams.Streams; it is also called at the end.

    ``look_seconds``: see channel.Channel.
    """

    def __init__(
        self, changed: Callable[[], None], ping_seconds: float, look_seconds: float = 0.0
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = changed
        self._ping_seconds = ping_seconds
        self._look_seconds = look_seconds
        self._channel: Channel | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._protocol: str | None = "h2"
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._pinged = False
        self._idle_looks = 0
        self.streams = Streams(self._write, self._on_change)
        self.closed_because = ""

    async def open(self, host: str, port: int, context: ssl.SSLContext, name: str) -> None:
        """Connect, and wait until the server has said how many streams it takes.

        ``name`` is what the server's certificate must be for. Raises Unreachable and NotHttp2. The
        caller bounds the time.
        """
        channel = self._channel = Channel(context, name, self, self._look_seconds)
        try:
            await self._loop.create_connection(lambda: channel, host, port)
            await self._opened
        except OSError as error:
            raise Unreachable(f"{type(error).__name__}: {error}"[:300]) from error
        finally:
            if not self._opened.done() or self._opened.cancelled():
                channel.abort("not connected")
        if self._protocol != "h2":
            raise NotHttp2
        if self.closed_because:
            raise Unreachable(self.closed_because)
        self._timer = self._loop.call_later(self._ping_seconds, self._look)

    def drain(self) -> None:
        """Take no more streams, and close when the last one has ended."""
        self.streams.drain()

    def close(self) -> None:
        """End everything now."""
        self._end(Code.NO_ERROR, "the connection was closed")

    async def disconnected(self) -> None:
        """Wait until the socket is closed."""
        if self._channel is not None:
            await self._channel.disconnected

    def opened(self, protocol: str | None) -> None:
        """See channel.Receiver."""
        self._protocol = protocol
        if protocol == "h2":
            self._write(GREETING)
        else:
            self.close()

    def received(self, data: bytes) -> None:
        """See channel.Receiver."""
        self._heard = True
        try:
            self.streams.received(data)
        except ProtocolError as error:
            self._end(error.code, f"the server broke HTTP/2: {error}")

    def lost(self, reason: str) -> None:
        """See channel.Receiver."""
        self.closed_because = self.closed_because or reason
        if self._timer is not None:
            self._timer.cancel()
        self.streams.lost(self.closed_because)
        self._settle()
        self._changed()

    def _on_change(self) -> None:
        if self.streams.settled:
            self._settle()
        if self.streams.draining and not self.streams:
            # Not at once: the bytes just read may hold more, and the last asker may write still.
            self._loop.call_soon(self._end, Code.NO_ERROR, "the connection was drained")
        self._changed()

    def _settle(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _look(self) -> None:
        if self._heard:
            self._heard = self._pinged = False
        elif self._pinged:
            self._end(Code.NO_ERROR, "the server does not answer a ping")
            return
        else:
            self._write(frames.frame(frames.PING, 0, 0, bytes(8)))
            self._pinged = True
        self._idle_looks = 0 if self.streams else self._idle_looks + 1
        if self._idle_looks >= IDLE_LOOKS:
            self.drain()
        else:
            self._timer = self._loop.call_later(self._ping_seconds, self._look)

    def _end(self, code: Code, reason: str) -> None:
        if self.closed_because:
            return
        self.closed_because = reason
        if self._channel is not None:
            self._write(frames.goaway(code))
            self._channel.close()

    def _write(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.write(data)
