"""A fake kubelet over real sockets: the routes, statuses, framings and words of the real one.

It keeps connections alive as Go's server does, so whoever sends it a second request is answered.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from tests.fakes.waiting import eventually

END = b"\r\n\r\n"
EMPTY = b"0\r\n\r\n"


@dataclass(frozen=True)
class Received:
    """The head of a request."""

    method: str
    target: str
    headers: Mapping[str, str]


class FakeKubelet:
    """Listens on 127.0.0.1; asks for a client certificate if its TLS context does."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.requests: list[Received] = []
        self.pods: dict[tuple[str, str], str] = {}
        """The UIDs of the pods that run here."""
        self.logs: dict[str, bytes] = {}
        """What the container of a pod has written, by the pod's name."""
        self.reports: dict[str, bytes] = {}
        """By path."""
        self.open = 0
        """Connections."""
        self.busy = 0
        """Requests that are being answered."""
        self.received = b""
        """What came through upgraded connections."""
        self.swallowed = 0
        """How many bytes of them were only counted, see ``swallows``."""
        self.swallows = False
        """Upgraded connections send nothing back, like the ``tar`` that a ``cp`` runs."""
        self.hears = asyncio.Event()
        """Cleared: upgraded connections are not read, like those of a command that reads nothing."""
        self.hears.set()
        self.silent = False
        """Nothing is answered, as for the log of a container that has written nothing."""
        self.more_logs = asyncio.Event()
        """Set: followers are sent the log over and over, as fast as they take it."""

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and cut what is open."""
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            await eventually(lambda: not self.open, "the kubelet's connections are cut")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self._writers.add(writer)
        try:
            while await self._request(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            self.open -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether another one may follow."""
        line, *fields = (await reader.readuntil(END)).decode().strip().split("\r\n")
        method, target, version = line.split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        self.requests.append(Received(method, target, headers))
        lasting = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        self.busy += 1
        try:
            return await self._answer(reader, writer, target, headers) and lasting
        finally:
            self.busy -= 1

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: str,
        headers: Mapping[str, str],
    ) -> bool:
        """Whether the connection is still one of HTTP."""
        path, _, query = target.partition("?")
        if self.silent:
            await reader.read(1)
            return False
        if path in self.reports:
            _respond(writer, 200, self.reports[path], "application/json")
            return True
        verb, namespace, pod, *rest = path.strip("/").split("/")
        uid = self.pods.get((namespace, pod))
        if uid is None or (verb != "containerLogs" and rest and rest[0] not in (uid, "web")):
            _respond(writer, 404, f'pod "{pod}_{namespace}" does not exist'.encode())
        elif rest and rest[-1] == "gone":
            _respond(writer, 404, f"container not found in {namespace}".encode())
        elif verb == "containerLogs":
            await self._log(reader, writer, pod, follow="follow=true" in query)
        elif "upgrade" not in headers:
            _respond(writer, 200, b"ran")
        else:
            await self._echo(reader, writer, headers["upgrade"])
            return False
        return True

    async def _log(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pod: str, *, follow: bool
    ) -> None:
        text = self.logs.get(pod, b"")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n"
        )
        chunk = b"%x\r\n%s\r\n" % (len(text), text)
        if text:
            writer.write(chunk)
        if follow:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write_for_ever(writer, chunk))
                await reader.read(1)  # the client hangs up
                writing.cancel()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _write_for_ever(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        while chunk != EMPTY:
            await self.more_logs.wait()
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)  # others want to write too

    async def _echo(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: str
    ) -> None:
        """Send back what comes; ``bye`` ends it from this side."""
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            b"Upgrade: %s\r\n\r\n" % protocol.encode()
        )
        await self.hears.wait()
        while piece := await reader.read(65536):
            if self.swallows:
                self.swallowed += len(piece)
                continue
            self.received = (self.received + piece)[-1024:]
            writer.write(piece)
            await writer.drain()
            if piece.endswith(b"bye"):
                return


def _respond(
    writer: asyncio.StreamWriter, status: int, body: bytes, content_type: str = "text/plain"
) -> None:
    writer.write(
        b"HTTP/1.1 %d Status\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
        % (status, content_type.encode(), len(body), body)
    )
