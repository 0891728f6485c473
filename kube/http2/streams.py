"""The streams of one connection: frames in, frames out, no I/O."""

import asyncio
from collections.abc import Callable

from kube.errors import Unreachable
from kube.http2 import frames
from kube.http2.exchange import LARGEST_ANSWER, WINDOW, Exchange, Refused
from kube.http2.frames import Code, FrameReader, ProtocolError
from kube.http2.headers import read_head
from kube.http2.sender import Sender

CONNECTION_WINDOW = 2**23
"""Bytes under way to us over all streams. Credit is given back on arrival, so that a slow reader holds
up its own stream only; what may wait for it is bounded by its stream's window."""
STREAMS_BEFORE_SETTINGS = 100
LAST_STREAM = 2**31 - 1
GREETING = (
    frames.PREFACE
    + frames.settings(
        {
            frames.HEADER_TABLE_SIZE: 0,
            frames.ENABLE_PUSH: 0,
            frames.INITIAL_WINDOW_SIZE: WINDOW,
        }
    )
    + frames.window_update(0, CONNECTION_WINDOW - frames.DEFAULT_WINDOW)
)


class Streams:
    """Keeps the rules of HTTP/2 for the client's side.

    ``write`` takes bytes to send; ``changed`` is called after anything that concerns others than the
    asker of a stream: there may be room, there is none any more, the last stream has ended.
    """

    def __init__(self, write: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._write = write
        self._changed = changed
        self._reader = FrameReader()
        self._sender = Sender(write)
        self._exchanges: dict[int, Exchange] = {}
        self._next_stream = 1
        self._most_streams = STREAMS_BEFORE_SETTINGS
        self._window = CONNECTION_WINDOW
        self.settled = False
        """The server's first settings have come."""
        self.draining = False
        """No stream may be started; those open go on."""

    def __len__(self) -> int:
        """How many are open."""
        return len(self._exchanges)

    @property
    def room(self) -> int:
        """How many more may be started."""
        return 0 if self.draining else max(0, self._most_streams - len(self._exchanges))

    def start(self, block: bytes, body: bytes, *, streamed: bool) -> Exchange:
        """Send a request. There has to be room. Whoever starts an exchange has to leave it."""
        exchange = Exchange(self._loop, streamed=streamed)
        exchange.identifier = self._next_stream
        self._next_stream += 2
        self._exchanges[exchange.identifier] = exchange
        self._sender.start(exchange, block, body)
        if self._next_stream > LAST_STREAM:
            self.drain()
        return exchange

    def widen(self, exchange: Exchange, more: int) -> None:
        """Let the server send so many bytes more before it has to wait for us."""
        if more > 0 and exchange.identifier in self._exchanges:
            self._write(frames.window_update(exchange.identifier, more))
            exchange.window += more

    def leave(self, exchange: Exchange) -> None:
        """The asker wants no more of it."""
        if exchange.identifier in self._exchanges:
            self._reset(exchange, Code.CANCEL)

    def take(self, exchange: Exchange) -> bytes:
        """What has arrived of a streamed answer; lets the server send as much again."""
        data = exchange.take()
        if exchange.received >= WINDOW // 2:
            self._return_credit(exchange)
        return data

    def drain(self) -> None:
        """Take no more streams."""
        self.draining = True
        self._changed()

    def received(self, data: bytes) -> None:
        """Bytes came. Raises ProtocolError, which has to end the connection."""
        for kind, flags, stream, payload in self._reader.feed(data):
            self._handle(kind, flags, stream, payload)

    def lost(self, reason: str) -> None:
        """The connection is gone, and with it every stream."""
        self.draining = True
        exchanges = list(self._exchanges.values())
        self._exchanges.clear()
        for exchange in exchanges:
            self._sender.forget(exchange)
            exchange.fail(Unreachable(reason))

    def _handle(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if not self.settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ProtocolError(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if kind == frames.DATA:
            self._on_data(flags, stream, payload)
        elif kind == frames.HEADERS:
            self._on_headers(flags, stream, payload)
        elif kind == frames.WINDOW_UPDATE:
            self._on_window_update(stream, frames.number_of(payload))
        elif kind == frames.RST_STREAM:
            self._on_reset(stream, int.from_bytes(payload, "big"))
        else:
            self._on_other(kind, flags, payload)

    def _on_other(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == frames.PING and not flags & frames.ACK:
            self._write(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._on_settings(payload)
        elif kind == frames.GOAWAY:
            self._on_goaway(payload)
        elif kind == frames.PUSH_PROMISE:
            raise ProtocolError(Code.PROTOCOL_ERROR, "a push, which we forbid")

    def _open_exchange(self, stream: int) -> Exchange | None:
        """None for one that has ended or was left: late frames of it are no error."""
        exchange = self._exchanges.get(stream)
        if exchange is None and (not stream & 1 or stream >= self._next_stream):
            raise ProtocolError(Code.PROTOCOL_ERROR, f"a frame of stream {stream}, never opened")
        return exchange

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._count(size)
        exchange = self._open_exchange(stream)
        if exchange is None:
            return
        if flags & frames.PADDED:
            payload = frames.unpadded(flags, payload)
        exchange.window -= size
        exchange.received += size
        if exchange.window < 0 or exchange.buffered > LARGEST_ANSWER or not exchange.status:
            self._break(exchange, "the server sent data that it may not send")
            return
        if payload:
            exchange.chunks.append(payload)
            exchange.buffered += len(payload)
        if flags & frames.END_STREAM:
            self._end(exchange)
        elif exchange.streamed and exchange.chunks:
            exchange.wake()  # its reader gives credit when it takes them
        elif exchange.received >= WINDOW // 2:
            self._return_credit(exchange)

    def _count(self, size: int) -> None:
        self._window -= size
        if self._window < 0:
            raise ProtocolError(Code.FLOW_CONTROL_ERROR, "more data than the connection allows")
        if self._window < CONNECTION_WINDOW // 2:
            self._write(frames.window_update(0, CONNECTION_WINDOW - self._window))
            self._window = CONNECTION_WINDOW

    def _on_headers(self, flags: int, stream: int, block: bytes) -> None:
        exchange = self._open_exchange(stream)
        if exchange is None:
            return
        ends = flags & frames.END_STREAM
        if not exchange.status:
            status, retry_after = read_head(block)
            if status >= 200:
                exchange.status, exchange.retry_after = status, retry_after
                if exchange.streamed:
                    exchange.wake()
            elif ends:
                self._break(exchange, "the server ended with an interim answer")
                return
        elif not ends:
            self._break(exchange, "the server sent headers twice")
            return
        if ends:
            self._end(exchange)

    def _on_window_update(self, stream: int, increment: int) -> None:
        if not stream:
            self._sender.granted(increment)
            return
        exchange = self._open_exchange(stream)
        if exchange is not None and not self._sender.granted_to(exchange, increment):
            self._break(exchange, "the server sent a window update that is not allowed")

    def _on_reset(self, stream: int, code: int) -> None:
        exchange = self._open_exchange(stream)
        if exchange is None:
            return
        reason = f"the server reset the stream: {frames.code_name(code)}"
        kind = Refused if code == Code.REFUSED_STREAM and not exchange.status else Unreachable
        self._drop(exchange, kind(reason))

    def _on_settings(self, payload: bytes) -> None:
        for name, value in frames.settings_of(payload):
            if name == frames.MAX_CONCURRENT_STREAMS:
                self._most_streams = value
            elif name == frames.INITIAL_WINDOW_SIZE:
                self._sender.set_initial_window(value, self._exchanges.values())
            elif name == frames.MAX_FRAME_SIZE:
                self._sender.set_largest_frame(value)
        self._write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self.settled = True
        self._changed()

    def _on_goaway(self, payload: bytes) -> None:
        last, code = frames.goaway_of(payload)
        reason = f"the server goes away: {frames.code_name(code)}"
        for exchange in [item for item in self._exchanges.values() if item.identifier > last]:
            self._drop(exchange, Refused(reason))
        self.drain()

    def _return_credit(self, exchange: Exchange) -> None:
        if exchange.identifier in self._exchanges:
            self._write(frames.window_update(exchange.identifier, exchange.received))
            exchange.window += exchange.received
            exchange.received = 0

    def _end(self, exchange: Exchange) -> None:
        exchange.ended = True
        exchange.wake()
        if exchange.body:  # answered before it was all sent: the rest is not wanted
            self._reset(exchange, Code.NO_ERROR)
        else:
            self._remove(exchange)

    def _break(self, exchange: Exchange, reason: str) -> None:
        exchange.fail(Unreachable(reason))
        self._reset(exchange, Code.PROTOCOL_ERROR)

    def _drop(self, exchange: Exchange, error: Unreachable) -> None:
        exchange.fail(error)
        self._remove(exchange)

    def _reset(self, exchange: Exchange, code: Code) -> None:
        self._write(frames.rst_stream(exchange.identifier, code))
        self._remove(exchange)

    def _remove(self, exchange: Exchange) -> None:
        self._sender.forget(exchange)
        del self._exchanges[exchange.identifier]
        self._changed()
