"""TLS over a plain TCP connection, by memory buffers.

asyncio's own TLS keeps a buffer of 256 KiB for each connection; here all of a thread share one. What is
written in one step of the loop leaves as one record.
"""

import asyncio
import ssl
import threading
from typing import Protocol

LARGEST_BACKLOG = 32 * 2**20
"""Bytes that the server may leave unread before the connection is given up."""
READ_BYTES = 2**16
MUCH = 4 * READ_BYTES
"""Bytes between two looks of a paced channel from which on it reads what comes at once."""


class Receiver(Protocol):
    """Who reads a channel."""

    def opened(self, protocol: str | None) -> None:
        """TLS stands, and this is what the server speaks (ALPN)."""

    def received(self, data: bytes) -> None:
        """Bytes came."""

    def lost(self, reason: str) -> None:
        """The channel is closed. Called once, also after ``close``."""


class _ReadBuffer(threading.local):
    """Filled and emptied in one step of a loop, so one per thread is enough."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_BYTES))


_READ = _ReadBuffer()


class Channel(asyncio.BufferedProtocol):
    """Carries bytes both ways. All methods are of the loop's thread.

    ``look_seconds``: how long it reads nothing where small messages follow each other faster than that,
    so that they wake the process together. It does not rest while there is much to read.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        name: str,
        receiver: Receiver,
        look_seconds: float = 0.0,
    ) -> None:
        self._receiver = receiver
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._lost = False
        self._unsent: list[bytes] = []
        self._look_seconds = look_seconds
        self._look: asyncio.TimerHandle | None = None
        self._looked = -look_seconds
        self._since_look = 0
        """Bytes read."""
        self._much = False
        """Between the two looks before."""
        self.disconnected = self._loop.create_future()
        """Done when the socket is closed."""

    def write(self, data: bytes) -> None:
        """Send soon."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append(data)

    def flush(self) -> None:
        """Send now what was written."""
        if not self._unsent:
            return
        data = memoryview(b"".join(self._unsent))
        self._unsent.clear()
        if self._lost or self._transport is None:
            return
        try:
            while data:
                data = data[self._tls.write(data) :]
        except ssl.SSLError as error:
            self.abort(f"TLS: {error.reason}")
            return
        self._send()

    def close(self) -> None:
        """Send what was written, then close."""
        self.flush()
        if self._open and not self._lost:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # it waits for the server's farewell; we do not
            self._send()
        if self._transport is not None:
            if self._transport.get_write_buffer_size():
                self._transport.abort()  # a server that does not read is not waited for
            else:
                self._transport.close()
        self._lose("the server closed the connection")

    def abort(self, reason: str) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
        self._lose(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._lost:
            transport.abort()
        else:
            self._advance()

    def get_buffer(self, sizehint: int) -> memoryview:
        """See asyncio.BufferedProtocol."""
        return _READ.view

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        self._incoming.write(_READ.view[:nbytes])
        if not self._lost:
            self._advance()
        if self._look_seconds and not self._lost:
            self._rest(nbytes)

    def eof_received(self) -> bool:
        """See asyncio.BufferedProtocol."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""
        if not self.disconnected.done():
            self.disconnected.set_result(None)
        self._lose(f"{type(exc).__name__}: {exc}" if exc else "the server closed the connection")

    def _rest(self, nbytes: int) -> None:
        """Read nothing until the next look, if it was short ago that something came, and little."""
        assert self._transport is not None
        now = self._loop.time()
        was_quiet = now - self._looked >= self._look_seconds
        if was_quiet:
            self._much, self._since_look, self._looked = self._since_look >= MUCH, 0, now
        self._since_look += nbytes
        if was_quiet or self._much or self._since_look >= MUCH or nbytes == READ_BYTES:
            return
        self._transport.pause_reading()
        self._look = self._loop.call_later(self._look_seconds, self._look_again)

    def _look_again(self) -> None:
        assert self._transport is not None
        self._much, self._since_look, self._looked = False, 0, self._loop.time()
        self._transport.resume_reading()

    def _advance(self) -> None:
        try:
            if not self._open:
                self._tls.do_handshake()
                self._open = True
                self._receiver.opened(self._tls.selected_alpn_protocol())
            ended = not self._lost and self._read()
        except ssl.SSLWantReadError:
            ended = False
        except ssl.SSLCertVerificationError as error:
            self._send()
            self.abort(f"the server's certificate: {error.verify_message}")
            return
        except (ssl.SSLError, OSError) as error:
            self._send()  # the alert tells the server why
            self.abort(f"TLS: {getattr(error, 'reason', None) or type(error).__name__}")
            return
        self._send()
        if ended:
            self.close()

    def _read(self) -> bool:
        """Pass on what is there; tells whether the server said farewell."""
        parts: list[bytes] = []
        ended = False
        try:
            # Not until it complains of having nothing: that costs as much as a read.
            while not parts or self._incoming.pending or self._tls.pending():
                data = self._tls.read(2**16)
                if not data:
                    ended = True
                    break
                parts.append(data)
        except ssl.SSLWantReadError:
            pass
        if parts:
            self._receiver.received(b"".join(parts))
            self.flush()
        return ended

    def _send(self) -> None:
        if not self._outgoing.pending or self._transport is None or self._transport.is_closing():
            return
        self._transport.write(self._outgoing.read())
        if self._transport.get_write_buffer_size() > LARGEST_BACKLOG:
            self.abort("the server does not read")

    def _lose(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            if self._look is not None:
                self._look.cancel()
            self._receiver.lost(reason)
