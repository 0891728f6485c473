"""A server that has forgotten what it has told: found out by its lists, and what follows from it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class HistoryLost(Exception):
    """The server's data are older than what it has told before: a backup was restored, say.

    Versions then say nothing any more about what is newer, so whatever is known of the server is void.
    """


class History:
    """Of a server whose lists are taken in at several places; one of them waits for what they find."""

    def __init__(self) -> None:
        self._lost = asyncio.Event()

    @contextmanager
    def listed(self) -> Iterator[None]:
        """Whoever takes in a list does it here; HistoryLost passes, and is noted."""
        try:
            yield
        except HistoryLost:
            self._lost.set()
            raise

    async def lost(self) -> None:
        """Return when a list showed that all that is known is void."""
        await self._lost.wait()


def history_lost(error: BaseException) -> str | None:
    """The reason, if the error is, or holds, a HistoryLost."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(history_lost, error.exceptions)), None)
    return str(error) if isinstance(error, HistoryLost) else None
