"""An HTTP/2 server that does what a test tells it, frame by frame, over TLS on a real socket."""

import asyncio
import ssl
from typing import NamedTuple

from hpack import Decoder, Encoder

from kube.connection import Credentials
from kube.http2 import frames
from kube.http2.frames import Code, Frame, FrameReader, frame
from tests.unit.kube.certificates import Authority

SECONDS = 60.0


class Request(NamedTuple):
    """What the client asked for, its body not included."""

    stream: int
    headers: dict[str, str]
    ended: bool


class Peer:
    """One connection of a client, from the server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._passed: list[Frame] = []
        self.closed = asyncio.Event()

    async def serve(self) -> None:
        """Read frames until the client goes."""
        try:
            assert await self._reader.readexactly(len(frames.PREFACE)) == frames.PREFACE
            parser = FrameReader(largest=2**24)
            while data := await self._reader.read(2**16):
                for item in parser.feed(data):
                    self._frames.put_nowait(item)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed.set()
            self._writer.close()

    def send(self, *parts: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(b"".join(parts))

    def cut(self) -> None:
        """End the connection without a word."""
        self._writer.transport.abort()

    async def frame(self, kind: int, stream: int | None = None) -> Frame:
        """The next frame of a kind (and stream); others are kept for later."""
        for item in self._passed:
            if item[0] == kind and stream in (None, item[2]):
                self._passed.remove(item)
                return item
        async with asyncio.timeout(SECONDS):
            while True:
                item = await self._frames.get()
                if item[0] == kind and stream in (None, item[2]):
                    return item
                self._passed.append(item)

    async def settled(self) -> None:
        """All that the client sent before now is here: it answers a ping."""
        self.send(frame(frames.PING, 0, 0, b"settled!"))
        while (await self.frame(frames.PING))[3] != b"settled!":
            pass

    async def live(self) -> None:
        """Answer the client's pings."""
        while True:
            await self.frame(frames.PING)
            if not self.closed.is_set():
                self.send(frame(frames.PING, frames.ACK, 0, bytes(8)))

    def has(self, kind: int, stream: int) -> bool:
        """Whether a frame has come that no one asked for yet."""
        while not self._frames.empty():
            self._passed.append(self._frames.get_nowait())
        return any(item[0] == kind and item[2] == stream for item in self._passed)

    async def request(self) -> Request:
        """The next request."""
        _, flags, stream, block = await self.frame(frames.HEADERS)
        headers = {str(name): str(value) for name, value in Decoder().decode(block)}
        return Request(stream, headers, bool(flags & frames.END_STREAM))

    async def body(self, stream: int, size: int) -> bytes:
        """So many bytes of a request's body, no credit given."""
        found = b""
        while len(found) < size:
            found += (await self.frame(frames.DATA, stream))[3]
        return found

    def head(self, stream: int, status: int = 200, *, end: bool = False, **fields: str) -> None:
        """Send headers."""
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        self.send(frame(frames.HEADERS, flags, stream, block(status, **fields)))

    def data(self, stream: int, data: bytes = b"", *, end: bool = False) -> None:
        """Send a part of a body, whatever its size, in frames."""
        parts = [data[at : at + 16384] for at in range(0, len(data), 16384)] or [b""]
        for number, part in enumerate(parts, 1):
            last = frames.END_STREAM if end and number == len(parts) else 0
            self.send(frame(frames.DATA, last, stream, part))

    def answer(self, stream: int, body: bytes = b"ok", status: int = 200) -> None:
        """Answer a request."""
        self.head(stream, status)
        self.data(stream, body, end=True)

    def goaway(self, last: int, code: Code = Code.NO_ERROR) -> None:
        """Say farewell."""
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + b"why"
        self.send(frame(frames.GOAWAY, 0, 0, payload))


class Http2Server:
    """Accepts connections; greets each with its settings."""

    def __init__(self, authority: Authority, context: ssl.SSLContext) -> None:
        self._authority = authority
        self._context = context
        self._context.set_alpn_protocols(["h2"])
        self._arrived: asyncio.Queue[Peer] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self.peers: list[Peer] = []
        self.greeting = frames.settings({frames.MAX_CONCURRENT_STREAMS: 100})
        self.port = 0

    @property
    def credentials(self) -> Credentials:
        """For a client of this server."""
        ca = self._authority.pem
        return Credentials(server=f"https://127.0.0.1:{self.port}", ca=ca, token="a-token")

    async def start(self) -> None:
        """Listen; on the same port as before if there was one."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=self._context
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Drop all connections and do not listen any more."""
        assert self._server is not None
        self._server.close()
        for peer in self.peers:
            peer.cut()
            await peer.closed.wait()

    async def peer(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(SECONDS):
            return await self._arrived.get()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        peer.send(self.greeting)
        self._arrived.put_nowait(peer)
        await peer.serve()


def block(status: int, **fields: str) -> bytes:
    """Headers as a server packs them that heeds a table of no bytes."""
    encoder = Encoder()
    encoder.header_table_size = 0
    names = {name.replace("_", "-"): value for name, value in fields.items()}
    return encoder.encode([(":status", str(status)), *names.items()])
