"""Waiting for a condition instead of sleeping.

The time-outs only end what will never come about: on a machine that builds beside the tests, a process
may stand still for seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


async def eventually(
    condition: Callable[[], Found | None], what: str, seconds: float = 60.0, every: float = 0.005
) -> Found:
    """The first true value of ``condition``; fails, naming ``what``, if none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := condition()):  # noqa: ASYNC110 - any state can be waited for
                await asyncio.sleep(every)
            return found
    except TimeoutError:
        raise AssertionError(f"waited {seconds:g} s in vain until {what}") from None


async def eventually_so(
    condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0
) -> None:
    """As ``eventually``, for a condition that has to be awaited."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110 - any state can be waited for
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:g} s in vain until {what}") from None


async def grows_by(action: Callable[[], object], count: Callable[[], int], what: str) -> None:
    """Do something, and wait until it has made a number grow."""
    before = count()
    action()
    await eventually(lambda: count() > before, what)
