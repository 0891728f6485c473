"""One request and its answer: an HTTP/2 stream, as far as one side needs to know it."""

import asyncio

from kube.errors import Unreachable

WINDOW = 2**19
"""Bytes of an answer that may wait for a slow reader; then the server has to wait."""
LARGEST_ANSWER = 2**28
"""Bytes of an answer that is read to its end."""


class Refused(Unreachable):
    """The server has certainly not worked on the request: it may be sent again."""


class Exchange:
    """State of one stream. The connection writes it; the one that asked waits for it."""

    __slots__ = (
        "_loop", "_waiter", "body", "buffered", "chunks", "ended", "error",
        "identifier", "received", "retry_after", "send_window", "status", "streamed", "window",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, *, streamed: bool) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self.streamed = streamed
        """The reader takes chunks as they come; else it waits for the end."""
        self.identifier = 0
        self.status = 0
        self.retry_after: str | None = None
        self.chunks: list[bytes] = []
        self.buffered = 0
        self.received = 0
        """Bytes for which no new credit was given yet."""
        self.window = WINDOW
        """Bytes that the server may still send."""
        self.body = memoryview(b"")
        """What is not sent yet."""
        self.send_window = 0
        self.ended = False
        self.error: Unreachable | None = None

    async def wait(self) -> None:
        """Until something happens: for a streamed answer anything, else its end. Raises its error."""
        if not self.ended and self.error is None:
            self._waiter = self._loop.create_future()
            await self._waiter
        if self.error is not None:
            raise self.error

    def wake(self) -> None:
        """Something happened."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: Unreachable) -> None:
        """End without (the rest of) an answer."""
        if not self.ended and self.error is None:
            self.error = error
            self.wake()

    def take(self) -> bytes:
        """What has arrived; empty if nothing has."""
        data = b"".join(self.chunks)
        self.chunks.clear()
        self.buffered = 0
        return data
