"""Bytes from one connection to the other, as fast as the slower one takes them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from node_agent.http1 import NO_BODY, Response
from node_agent.streams import Closed, TlsStream

T = TypeVar("T")
Count = Callable[[int], None]
"""Told of each piece that was passed on."""

END_SECONDS = 2.0
"""So long may the end of a connection come after the end of the answer on it."""


class Body:
    """Follows a body that is passed on, and tells whether it may be over.

    The chunks are not counted: kubelets make one of each line of a log. So a body that looks whole is
    so only when the connection that it came on has ended as well.
    """

    def __init__(self, response: Response) -> None:
        self._length = None if response.is_chunked else response.length
        self._is_chunked = response.is_chunked
        self._size = 0
        self._last = b""

    def passed(self, piece: bytes) -> None:
        """The next piece of it."""
        self._size += len(piece)
        end = len(NO_BODY)
        self._last = piece[-end:] if len(piece) >= end else (self._last + piece)[-end:]

    @property
    def looks_whole(self) -> bool:
        """Whether nothing more need come."""
        return self._last == NO_BODY if self._is_chunked else self._size == self._length


async def heard(client: TlsStream, answer: Coroutine[None, None, T]) -> T | None:
    """What the other side answers; None if the client hangs up before. Raises Closed."""
    result: list[T] = []

    async def listen() -> None:
        result.append(await answer)

    await _first(listen(), _silence(client))
    return result[0] if result else None


async def splice(kubelet: TlsStream, client: TlsStream, count: Count) -> None:
    """Both directions, until one side ends; what that one has sent is passed on before.

    Which side may still speak after the other has ended is a matter of the protocols inside, which
    have ends of their own for each of their streams. Raises Closed.
    """
    await _first(_pump(client, kubelet, count), _pump(kubelet, client, count))


async def relay(kubelet: TlsStream, client: TlsStream, body: Body, count: Count) -> None:
    """The rest of an answer, until it ends or the client goes away. Raises Closed."""

    async def pump() -> None:
        while piece := await kubelet.read():
            await pass_on(client, b"", piece)
            body.passed(piece)
            count(len(piece))

    await _first(pump(), _silence(client, body))


async def pass_on(client: TlsStream, head: bytes, piece: bytes) -> None:
    """Write a piece of an answer's body, its end in a TLS record of its own, as kubelets do.

    Go hands out the last bytes of a body together with its end where it has both; an API server that
    passes a log on to a WebSocket then drops these bytes (``wsstream.Reader`` of k8s.io/apiserver).
    """
    data, end = piece, b""
    if piece.endswith(NO_BODY) and piece != NO_BODY:
        data, end = piece[: -len(NO_BODY)], NO_BODY
    await client.write(head + data)
    await client.write(end)


async def _pump(source: TlsStream, sink: TlsStream, count: Count) -> None:
    while piece := await source.read():
        await sink.write(piece)
        count(len(piece))


async def _silence(client: TlsStream, body: Body | None = None) -> None:
    """Return when the client hangs up; it has nothing to say while it is answered.

    A client that has the answer whole may send its next request before we have seen the kubelet's
    connection end.
    """
    piece = await client.read()
    if not piece:
        return
    if body is not None and body.looks_whole:
        client.unread(piece)
        await asyncio.sleep(END_SECONDS)
    raise Closed("the client sent more than its request")


async def _first(*ways: Coroutine[None, None, None]) -> None:
    """Run them at once until one of them ends; the others are cut off. Raises Closed."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_outcome(way)) for way in ways]
        done, others = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
    for task in done:
        if error := task.result():
            raise error


async def _outcome(way: Coroutine[None, None, None]) -> Closed | None:
    try:
        await way
    except Closed as error:
        return error
    return None
