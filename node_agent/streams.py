"""TLS connections with no buffers of their own: what one side cannot take is not read from the other.

asyncio's own TLS keeps 256 KiB for each connection, and buffers what it has read. Here a waiting
connection holds what OpenSSL needs and nothing else, and back-pressure is the sockets' own.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from OpenSSL import SSL

RECORD = 16384
"""The most that TLS hands out at once; a kubelet makes a record of each line of a log."""
PIECE = 4 * RECORD
"""What has come meanwhile is passed on together, up to about so much."""
TURN = 4
"""After so many pieces without a pause the other connections have their turn."""

LINGER_SECONDS = 2.0

_WANT_READ = (ssl.SSLWantReadError, SSL.WantReadError)
_WANT_WRITE = (ssl.SSLWantWriteError, SSL.WantWriteError)
_FAILURES = (OSError, SSL.Error)  # ssl.SSLError is an OSError


class Closed(Exception):
    """The connection is over, and not as it should be; the message says why."""


class TlsSocket(Protocol):
    """What ssl.SSLSocket and OpenSSL.SSL.Connection have in common; non-blocking."""

    def do_handshake(self) -> None:
        """Go on with it."""

    def recv(self, bufsize: int, /) -> bytes:
        """What has come; empty at the end."""

    def send(self, data: memoryview, /) -> int:
        """How many bytes were taken."""

    def pending(self) -> int:
        """How many bytes are decrypted and not yet received."""


class Direction(IntEnum):
    """What a coroutine waits for."""

    READABLE = 0
    WRITABLE = 1


class TlsStream:
    """One connection. One coroutine may read while another one writes.

    ``stalled_seconds``: a peer that takes nothing for so long is given up.
    """

    def __init__(
        self,
        tls: TlsSocket,
        descriptor: socket.socket,
        stalled_seconds: float,
        farewell: Callable[[], object],
    ) -> None:
        self._tls = tls
        self._socket = descriptor
        self._stalled_seconds = stalled_seconds
        self._farewell = farewell
        self._waiting: tuple[list[asyncio.Future[None]], list[asyncio.Future[None]]] = ([], [])
        self._turn = 0
        self._unread = b""

    async def handshake(self) -> None:
        """Raises Closed. Has no time-out of its own."""
        while True:
            try:
                return self._tls.do_handshake()
            except _WANT_READ:
                await self._wait(Direction.READABLE)
            except _WANT_WRITE:
                await self._wait(Direction.WRITABLE)
            except _FAILURES as error:
                raise Closed(f"no TLS: {_words(error)}") from error

    async def read(self) -> bytes:
        """The next piece; empty when the peer has ended in order. Raises Closed."""
        self._turn += 1
        if self._turn % TURN == 0:
            await asyncio.sleep(0)
        if self._unread:
            unread, self._unread = self._unread, b""
            return unread
        while True:
            try:
                return self._gather(self._tls.recv(RECORD))
            except SSL.ZeroReturnError:
                return b""
            except _WANT_READ:
                await self._wait(Direction.READABLE)
            except _WANT_WRITE:
                await self._wait(Direction.WRITABLE)
            except _FAILURES as error:
                raise Closed(f"broken off: {_words(error)}") from error

    def unread(self, piece: bytes) -> None:
        """Have the next read return this piece, of which nothing was used."""
        self._unread = piece

    async def readable(self) -> None:
        """Return when something has come, or the end; without taking it, which would need memory."""
        if not self._unread and not self._tls.pending():
            await self._wait(Direction.READABLE)

    def _gather(self, first: bytes) -> bytes:
        """The first record, and those that are there behind it. What ends them, the next read sees."""
        if not first:
            return first
        records, size = [first], len(first)
        try:
            while size < PIECE and (record := self._tls.recv(RECORD)):
                records.append(record)
                size += len(record)
        except (*_WANT_READ, *_WANT_WRITE, *_FAILURES):
            pass
        return b"".join(records) if len(records) > 1 else first

    async def write(self, data: bytes) -> None:
        """Returns when all is taken by the socket. Raises Closed, also for a peer that stalls."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._tls.send(rest) :]
            except _WANT_WRITE:
                await self._wait_for_room(Direction.WRITABLE)
            except _WANT_READ:
                await self._wait_for_room(Direction.READABLE)
            except _FAILURES as error:
                raise Closed(f"broken off: {_words(error)}") from error

    def is_silent(self) -> bool:
        """Whether the connection lives and the peer has said nothing on it."""
        try:
            self._tls.recv(1)
        except _WANT_READ:
            return True  # nothing but TLS's own messages
        except _FAILURES:
            pass
        return False

    async def end(self) -> None:
        """Tell the peer that nothing more comes, and let it take what was sent.

        A socket that is closed with unread bytes in it resets the connection, and what the peer has
        not read by then is lost to it: so what still comes is read and thrown away for a moment.
        """
        with contextlib.suppress(*_FAILURES, TimeoutError):
            self._farewell()
            self._socket.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._raw():
                    pass

    def close(self) -> None:
        """Drop the connection. Done again, it changes nothing."""
        for direction in Direction:
            self._stop_waiting(direction)
        self._socket.close()

    async def _raw(self) -> bytes:
        while True:
            try:
                return self._socket.recv(RECORD)
            except BlockingIOError:
                await self._wait(Direction.READABLE)

    async def _wait_for_room(self, direction: Direction) -> None:
        try:
            async with asyncio.timeout(self._stalled_seconds):
                await self._wait(direction)
        except TimeoutError as error:
            raise Closed(f"takes nothing for {self._stalled_seconds:g} s") from error

    async def _wait(self, direction: Direction) -> None:
        loop = asyncio.get_running_loop()
        waiting = self._waiting[direction]
        future = loop.create_future()
        if not waiting:
            add = loop.add_reader if direction is Direction.READABLE else loop.add_writer
            add(self._socket.fileno(), self._wake, direction)
        waiting.append(future)
        try:
            await future
        finally:
            if future in waiting:
                waiting.remove(future)
                if not waiting:
                    self._unregister(direction)

    def _wake(self, direction: Direction) -> None:
        self._unregister(direction)
        woken, self._waiting[direction][:] = list(self._waiting[direction]), []
        for future in woken:
            if not future.done():
                future.set_result(None)

    def _stop_waiting(self, direction: Direction) -> None:
        if self._waiting[direction]:
            self._wake(direction)

    def _unregister(self, direction: Direction) -> None:
        if self._socket.fileno() < 0:
            return
        loop = asyncio.get_running_loop()
        remove = loop.remove_reader if direction is Direction.READABLE else loop.remove_writer
        remove(self._socket.fileno())


def prepare(descriptor: socket.socket) -> None:
    """Non-blocking; small writes at once; a dead peer is noticed though nothing is sent."""
    descriptor.setblocking(False)
    descriptor.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    descriptor.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            descriptor.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _words(error: BaseException) -> str:
    """The error without what the peer sent."""
    if isinstance(error, SSL.SysCallError | OSError) and not isinstance(error, ssl.SSLError):
        return str(error.args[-1]) if error.args else type(error).__name__
    reasons = error.args[0] if error.args else ()
    if isinstance(reasons, list) and reasons:
        return str(reasons[0][-1])
    return getattr(error, "reason", None) or type(error).__name__
