"""A transport that has time: small messages come together, a flood comes as fast as it can."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kube.connection import FixedCredentials
from kube.http2 import frames
from kube.http2.exchange import WINDOW
from kube.http2.transport import Http2Transport
from kube.transport import Stream
from tests.unit.kube.http2.server import SECONDS, Http2Server, Peer

WIDE = 8 * WINDOW
PIECE = 2**18


@asynccontextmanager
async def watching(server: Http2Server, look_seconds: float) -> AsyncIterator[tuple[Stream, Peer]]:
    """A stream that has begun, and the server's side, which is to send on stream 1."""
    source = FixedCredentials(server.credentials)
    transport = Http2Transport(source, look_seconds=look_seconds, window=WIDE)

    async def begin() -> Peer:
        peer = await server.peer()
        peer.head((await peer.request()).stream)
        return peer

    beginning = asyncio.create_task(begin())
    async with transport.stream("/", {}, SECONDS) as stream:
        yield stream, await beginning
    await transport.close()


async def take(chunks: AsyncIterator[bytes], size: int) -> int:
    """In how many chunks so many bytes came."""
    number = taken = 0
    async with asyncio.timeout(SECONDS):
        while taken < size:
            taken += len(await anext(chunks))
            number += 1
    assert taken == size
    return number


async def test_small_messages_come_together(server: Http2Server) -> None:
    look_seconds = 0.4
    async with watching(server, look_seconds) as (stream, peer):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        taking = asyncio.create_task(take(stream.chunks(), 40 * 10))
        for _ in range(40):
            peer.data(1, b"ten bytes.")
            await asyncio.sleep(0.02)  # they are 40 messages, not one
        number = await taking
        looks = (loop.time() - begun) / look_seconds
    # After a pause one is read at once: on a machine that stands still, two between two looks.
    assert number <= 2 * looks + 2


async def test_a_single_message_comes_at_once(server: Http2Server) -> None:
    """A machine that stands still may make one late, not each of them."""
    async with watching(server, 1.0) as (stream, peer):
        chunks, loop = stream.chunks(), asyncio.get_running_loop()
        for _ in range(5):
            await asyncio.sleep(2.1)  # two looks
            begun = loop.time()
            peer.data(1, b"ten bytes.")
            assert await take(chunks, 10) == 1
            if loop.time() - begun < 0.9:
                return
        raise AssertionError("each message was late")


async def test_a_flood_is_not_late(server: Http2Server) -> None:
    """But for its begin, and where the machine stands still."""
    async with watching(server, 1.0) as (stream, peer):
        chunks, loop = stream.chunks(), asyncio.get_running_loop()
        late = 0
        for _ in range(40):
            begun = loop.time()
            peer.data(1, bytes(PIECE))
            await take(chunks, PIECE)
            late += loop.time() - begun > 0.8
        assert late <= 20


async def test_a_wide_window_lets_more_be_under_way(server: Http2Server) -> None:
    async with watching(server, 0.0) as (_, peer):
        update = await peer.frame(frames.WINDOW_UPDATE, 1)
        assert frames.number_of(update[3]) == WIDE - WINDOW
        peer.data(1, bytes(WIDE))  # nobody reads
        await peer.settled()
        assert not peer.has(frames.RST_STREAM, 1)
