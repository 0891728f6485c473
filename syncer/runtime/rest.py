"""A wait before the next attempt, which whoever knows better may cut short."""

import asyncio


class Rest:
    """Of one task that tries again and again.

    To be hurried between two waits counts for the next one: the attempt that is under way may be about
    to fail for a reason that is no more.
    """

    def __init__(self) -> None:
        self._hurried = asyncio.Event()

    async def take(self, seconds: float) -> None:
        """Wait, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        except TimeoutError:
            return
        self._hurried.clear()

    def hurry(self) -> None:
        """Try now."""
        self._hurried.set()
