"""What goes out: requests whose bodies fit the windows that the server grants."""

from collections.abc import Callable, Iterable

from kube.http2 import frames
from kube.http2.exchange import Exchange
from kube.http2.frames import Code, ProtocolError


class Sender:
    """Cuts bodies into frames; what does not fit a window waits until the server makes it larger."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._window = frames.DEFAULT_WINDOW
        self._initial_window = frames.DEFAULT_WINDOW
        self._largest = frames.SMALLEST_FRAME_SIZE
        self._blocked: dict[Exchange, None] = {}

    def start(self, exchange: Exchange, block: bytes, body: bytes) -> None:
        """Send the headers and as much of the body as is allowed."""
        exchange.send_window = self._initial_window
        head = frames.headers(exchange.identifier, block, self._largest, end_stream=not body)
        self._write(head)
        if body:
            exchange.body = memoryview(body)
            self._push(exchange)

    def forget(self, exchange: Exchange) -> None:
        """Send nothing more of it."""
        exchange.body = memoryview(b"")
        self._blocked.pop(exchange, None)

    def granted(self, increment: int) -> None:
        """The connection's window grew. Raises ProtocolError."""
        if not increment:
            raise ProtocolError(Code.PROTOCOL_ERROR, "a window update of nothing")
        self._window += increment
        if self._window > frames.LARGEST_WINDOW:
            raise ProtocolError(Code.FLOW_CONTROL_ERROR, "the connection's window overflows")
        self._resume()

    def granted_to(self, exchange: Exchange, increment: int) -> bool:
        """A stream's window grew; false if the increment is not allowed."""
        exchange.send_window += increment
        if not increment or exchange.send_window > frames.LARGEST_WINDOW:
            return False
        if exchange in self._blocked:
            self._push(exchange)
        return True

    def set_largest_frame(self, size: int) -> None:
        """The server accepts frames of this size now."""
        self._largest = size

    def set_initial_window(self, size: int, exchanges: Iterable[Exchange]) -> None:
        """The server changed the window of all streams, also those open. Raises ProtocolError."""
        change = size - self._initial_window
        self._initial_window = size
        for exchange in exchanges:
            exchange.send_window += change
            if exchange.send_window > frames.LARGEST_WINDOW:
                raise ProtocolError(Code.FLOW_CONTROL_ERROR, "a stream's window overflows")
        self._resume()

    def _resume(self) -> None:
        for exchange in list(self._blocked):
            if self._window <= 0:
                break
            self._push(exchange)

    def _push(self, exchange: Exchange) -> None:
        body = exchange.body
        while (
            body and (size := min(len(body), self._largest, self._window, exchange.send_window)) > 0
        ):
            part, body = body[:size], body[size:]
            flags = 0 if body else frames.END_STREAM
            self._write(frames.frame(frames.DATA, flags, exchange.identifier, bytes(part)))
            self._window -= size
            exchange.send_window -= size
        exchange.body = body
        if body:
            self._blocked[exchange] = None
        else:
            self._blocked.pop(exchange, None)
