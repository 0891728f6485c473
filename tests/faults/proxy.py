"""A TCP proxy in front of an API server, which can do to its clients what networks and servers do.

Bytes pass as they are, TLS and HTTP/2 too, unless the behaviour is one that ends TLS itself: for that the
client has to trust the proxy's own authority besides the server's.
"""

import asyncio
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from vcluster.pki.authority import CertificateAuthority, Subject, Usage, Validity, now

ADDRESS = "127.0.0.1"
PIECE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a proxy does to its connections; without arguments it passes everything on."""

    refuse: bool = False
    """New connections are reset; so are those that are open."""
    delay: float = 0.0
    """Seconds that each piece of an answer is late."""
    hold_requests: bool = False
    """What clients send does not arrive, until this ends: TCP then delivers it."""
    hold_answers: bool = False
    """The same for what the server sends."""
    answer: bytes = b""
    """Every request gets this HTTP/1.1 answer, and the server sees nothing of it."""
    expired: bool = False
    """The server's certificate has expired."""

    @property
    def ends_tls(self) -> bool:
        """Connections that are open have to go: they are the server's own."""
        return bool(self.answer) or self.expired


WELL = Behaviour()


class Authority:
    """Signs what proxies show when they answer themselves."""

    def __init__(self) -> None:
        day = timedelta(days=1)
        authority = CertificateAuthority.create("faults", Validity.lasting(day, now()))
        self.certificate = authority.certificate
        self.valid = _context(authority, Validity.lasting(day, now()))
        self.expired = _context(authority, Validity(now() - 2 * day, now() - day))


class Proxy:
    """For one event loop; see ``ProxyThread`` for the use from tests."""

    def __init__(self, target_port: int, authority: Authority) -> None:
        self._target = target_port
        self._authority = authority
        self._behaviour = WELL
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of the loopback interface."""
        self._server = await asyncio.start_server(self._serve, ADDRESS, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Listen no more, and cut what is open."""
        if self._server is not None:
            self._server.close()
        self.behave(Behaviour(refuse=True))

    def behave(self, behaviour: Behaviour) -> None:
        """From now on, for the connections that are open too."""
        before, self._behaviour = self._behaviour, behaviour
        self._changed.set()
        self._changed = asyncio.Event()
        if behaviour.refuse or behaviour.ends_tls or before.ends_tls:
            for writer in list(self._writers):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, ExceptionGroup):
                if self._behaviour.refuse:
                    return
                if self._behaviour.ends_tls:
                    await self._answer(reader, writer)
                else:
                    await self._pass_on(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behaviour = self._behaviour
        context = self._authority.expired if behaviour.expired else self._authority.valid
        await writer.start_tls(context)
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_length(head))
            writer.write(behaviour.answer)
            await writer.drain()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(ADDRESS, self._target)
        self._writers.add(far_writer)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, far_writer, lambda way: way.hold_requests))
                late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1000)
                ways.create_task(self._collect(far_reader, late))
                ways.create_task(self._deliver(late, writer))
        finally:
            self._writers.discard(far_writer)
            far_writer.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        held: Callable[[Behaviour], bool],
    ) -> None:
        while piece := await reader.read(PIECE):
            await self._while(held)
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError

    async def _collect(
        self, reader: asyncio.StreamReader, late: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        loop = asyncio.get_running_loop()
        while piece := await reader.read(PIECE):
            await late.put((loop.time() + self._behaviour.delay, piece))
        raise ConnectionResetError

    async def _deliver(
        self, late: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, piece = await late.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._while(lambda way: way.hold_answers)
            writer.write(piece)
            await writer.drain()

    async def _while(self, held: Callable[[Behaviour], bool]) -> None:
        while held(self._behaviour):
            await self._changed.wait()


class ProxyThread:
    """An event loop of its own, so that tests may block while connections are served."""

    def __init__(self) -> None:
        self.authority = Authority()
        self._proxies: list[Proxy] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()

    def add(self, target_port: int) -> Proxy:
        """A proxy that listens."""
        proxy = Proxy(target_port, self.authority)
        asyncio.run_coroutine_threadsafe(proxy.start(), self._loop).result(10)
        self._proxies.append(proxy)
        return proxy

    def behave(self, proxy: Proxy, behaviour: Behaviour) -> None:
        """See Proxy.behave; from any thread."""
        self._loop.call_soon_threadsafe(proxy.behave, behaviour)

    def close(self) -> None:
        """Cut everything."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for proxy in self._proxies:
            proxy.close()
        if serving := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(serving, timeout=5)


def http_answer(status: str, body: bytes, *headers: str) -> bytes:
    """A whole HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _context(authority: CertificateAuthority, validity: Validity) -> ssl.SSLContext:
    pair = authority.issue(Subject("faults"), Usage.SERVER, validity, [ADDRESS])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pair.pem"
        path.touch(0o600)
        path.write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(path)
    return context
