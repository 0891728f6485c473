"""One request and its answer, as the server sees it and as it may misbehave."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

import pytest

from kube.errors import Unreachable
from kube.http2 import frames
from kube.http2.exchange import WINDOW
from kube.http2.frames import Code, frame
from kube.http2.transport import Http2Transport
from kube.transport import Response
from tests.unit.kube.http2.server import SECONDS, Http2Server, Peer, block

Result = TypeVar("Result")


class Asked(Generic[Result]):
    """Something asked for in the background; its failure is no failure of the group."""

    def __init__(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, Result]) -> None:
        self._task = tasks.create_task(self._outcome(work))
        self.cancel, self.done = self._task.cancel, self._task.done

    def __await__(self) -> Generator[Any, None, Result]:
        outcome = yield from self._task.__await__()
        if isinstance(outcome, Unreachable):
            raise outcome
        return outcome

    async def _outcome(self, work: Coroutine[Any, Any, Result]) -> Result | Unreachable:
        try:
            return await work
        except Unreachable as error:
            return error


def ask(
    tasks: asyncio.TaskGroup, transport: Http2Transport, body: bytes = b"", timeout: float = 60.0
) -> Asked[Response]:
    """A request under way."""
    return Asked(tasks, transport.request("POST", "/a?b=c", {"Accept": "x"}, body, timeout))


async def unreachable(asked: Asked[Any]) -> str:
    """Why it failed."""
    with pytest.raises(Unreachable) as caught:
        await asked
    return str(caught.value)


async def test_a_request_arrives_as_it_was_meant(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport, b"hello")
        peer = await server.peer()
        request = await peer.request()
        assert request.headers == {
            ":method": "POST",
            ":scheme": "https",
            ":authority": f"127.0.0.1:{server.port}",
            ":path": "/a?b=c",
            "user-agent": "virtualcluster",
            "authorization": "Bearer a-token",
            "accept": "x",
            "content-length": "5",
        }
        assert await peer.frame(frames.DATA) == (frames.DATA, 1, request.stream, b"hello")
        peer.answer(request.stream, b"world", 201)
        assert await asked == Response(201, None, b"world")


async def test_an_answer_may_be_padded_cut_into_pieces_and_followed_by_trailers(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport)
        peer = await server.peer()
        stream = (await peer.request()).stream
        head = block(429, retry_after="3", audit_id="x" * 100)
        peer.head(stream, 103, link="</style.css>")
        padded = frames.PADDED | frames.HAS_PRIORITY
        peer.send(frame(frames.HEADERS, padded, stream, b"\x03" + bytes(5) + head[:2] + bytes(3)))
        peer.send(frame(frames.CONTINUATION, 0, stream, head[2:9]))
        peer.send(frame(frames.CONTINUATION, 0, stream))
        peer.send(frame(frames.CONTINUATION, frames.END_HEADERS, stream, head[9:]))
        peer.send(frame(frames.DATA, frames.PADDED, stream, b"\x09" + b"too " + bytes(9)))
        peer.send(frame(200, 0xFF, stream, b"a frame of a type to come"))
        peer.data(stream, b"many")
        peer.head(stream, 200, end=True)
        assert await asked == Response(429, "3", b"too many")


async def test_a_body_waits_for_both_windows_and_follows_their_changes(
    server: Http2Server, transport: Http2Transport
) -> None:
    body = os.urandom(300_000)
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport, body)
        peer = await server.peer()
        stream = (await peer.request()).stream
        found = await peer.body(stream, 65_535)
        peer.send(frames.window_update(stream, 500_000))
        await peer.settled()
        assert not peer.has(frames.DATA, stream), "the connection's window is used up"
        peer.send(frames.window_update(0, 20_000))
        found += await peer.body(stream, 20_000)
        peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
        peer.send(frames.settings({frames.MAX_FRAME_SIZE: 100_000}))
        peer.send(frames.window_update(0, 1_000_000))
        found += await peer.body(stream, len(body) - len(found))
        assert found == body
        peer.answer(stream)
        assert (await asked).status == 200
        for _ in range(3):
            await peer.frame(frames.SETTINGS)  # the client's own, and two acknowledgements


async def test_the_initial_window_holds_for_streams_that_are_open_and_may_become_negative(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport, bytes(70_000))
        peer = await server.peer()
        stream = (await peer.request()).stream
        await peer.body(stream, 65_535)
        peer.send(frames.window_update(0, 100_000))
        peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 10}))
        peer.send(frames.window_update(stream, 65_525))
        await peer.settled()
        assert not peer.has(frames.DATA, stream)
        peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 100_000}))
        await peer.body(stream, 70_000 - 65_535)
        peer.answer(stream)
        await asked


async def test_an_answer_larger_than_the_window_comes_whole(
    server: Http2Server, transport: Http2Transport
) -> None:
    body = os.urandom(3 * WINDOW)
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport)
        peer = await server.peer()
        stream = (await peer.request()).stream
        peer.head(stream)
        sent, credit = 0, WINDOW
        while sent < len(body):
            peer.data(stream, body[sent : sent + credit])
            sent += credit
            if sent < len(body):
                credit = frames.number_of((await peer.frame(frames.WINDOW_UPDATE, stream))[3])
        peer.data(stream, end=True)
        assert (await asked).body == body


async def test_an_early_answer_stops_the_body(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport, bytes(200_000))
        peer = await server.peer()
        stream = (await peer.request()).stream
        peer.answer(stream, b"too large", 413)
        assert await asked == Response(413, None, b"too large")
        await peer.frame(frames.RST_STREAM, stream)
        peer.send(frames.window_update(stream, 9), frames.rst_stream(stream, Code.NO_ERROR))
        asked = ask(tasks, transport)
        peer.answer((await peer.request()).stream)
        await asked


async def test_who_is_not_answered_in_time_leaves_and_late_frames_are_passed_over(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        # Connected before: the handshake is not to take its part of the short time.
        asked = ask(tasks, transport)
        peer = await server.peer()
        peer.answer((await peer.request()).stream)
        await asked
        asked = ask(tasks, transport, timeout=0.9)
        stream = (await peer.request()).stream
        assert "0.9 s" in await unreachable(asked)
        reset = await peer.frame(frames.RST_STREAM, stream)
        assert reset[3] == Code.CANCEL.to_bytes(4, "big")
        peer.answer(stream, b"too late")
        asked = ask(tasks, transport)
        peer.answer((await peer.request()).stream)
        assert (await asked).body == b"ok"
    assert len(server.peers) == 1


async def test_a_cancelled_request_is_cancelled_at_the_server_and_its_bytes_are_credited(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport)
        peer = await server.peer()
        stream = (await peer.request()).stream
        await peer.frame(frames.WINDOW_UPDATE, 0)
        asked.cancel()
        await peer.frame(frames.RST_STREAM, stream)
        for _ in range(9):  # more than half of the connection's window, sent before it heard
            peer.data(stream, bytes(WINDOW))
        await peer.frame(frames.WINDOW_UPDATE, 0)


@pytest.mark.parametrize(
    "bad",
    [
        lambda peer, stream: peer.data(stream, b"data before headers"),
        lambda peer, stream: peer.head(stream, 100, end=True),
        lambda peer, stream: (peer.head(stream), peer.head(stream)),
        lambda peer, stream: peer.send(frames.window_update(stream, 0)),
        lambda peer, stream: peer.send(frames.window_update(stream, 2**31 - 1)),
        lambda peer, stream: peer.send(frames.rst_stream(stream, Code.INTERNAL_ERROR)),
        lambda peer, stream: peer.send(frame(frames.RST_STREAM, 0, stream, b"\xff" * 4)),
    ],
)
async def test_a_broken_stream_harms_no_other(
    server: Http2Server, transport: Http2Transport, bad: Callable[[Peer, int], object]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        first = ask(tasks, transport)
        peer = await server.peer()
        stream = (await peer.request()).stream
        other = ask(tasks, transport)
        other_stream = (await peer.request()).stream
        bad(peer, stream)
        assert await unreachable(first)
        peer.answer(other_stream)
        assert (await other).status == 200


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n<html>",
        bytes(2000),
        b"\xff" * 2000,
        frame(frames.GOAWAY, 0, 0, b"short"),
        frame(frames.SETTINGS, 0, 0, b"odd"),
        frame(frames.PUSH_PROMISE, 4, 1, bytes(8)),
        frame(frames.DATA, 0, 77, b"of no stream"),
        frames.window_update(0, 0),
        frames.window_update(0, 2**31 - 1),
        frame(frames.HEADERS, 4, 1, b"\xff\xff\xff"),
        frame(frames.HEADERS, 4, 1, b""),
        frame(frames.HEADERS, 0, 1, b"") + frame(frames.CONTINUATION, 0, 1) * 9999,
    ],
)
async def test_garbage_ends_the_connection_at_once_and_the_next_one_works(
    server: Http2Server, transport: Http2Transport, garbage: bytes
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport)
        peer = await server.peer()
        await peer.request()
        peer.send(garbage)
        assert "HTTP/2" in await unreachable(asked)
        await asyncio.wait_for(peer.closed.wait(), SECONDS)
        asked = ask(tasks, transport)
        peer = await server.peer()
        peer.answer((await peer.request()).stream)
        await asked


@pytest.mark.parametrize("greeting", [bytes(100), frame(frames.PING, 0, 0, bytes(8)), b"\xff" * 99])
async def test_a_server_that_does_not_begin_with_settings_is_unreachable(
    server: Http2Server, transport: Http2Transport, greeting: bytes
) -> None:
    server.greeting = greeting
    async with asyncio.TaskGroup() as tasks:
        await unreachable(ask(tasks, transport))


async def test_a_server_that_says_nothing_is_unreachable_in_time(
    server: Http2Server, transport: Http2Transport
) -> None:
    server.greeting = b""
    async with asyncio.TaskGroup() as tasks:
        assert "0.9 s" in await unreachable(ask(tasks, transport, timeout=0.9))
        peer = await server.peer()
        await asyncio.wait_for(peer.closed.wait(), SECONDS)
