"""Passes over tenants in threads: one at a time for each tenant, and none keeps another's from a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

AT_ONCE = 8
"""Parts of passes that ask the super cluster, and nobody else."""
TENANTS_AT_ONCE = 4096
"""Threads that wait for a tenant's API server. Each is made when it is needed; it costs some 50 KiB."""

Result = TypeVar("Result")
Wanted = TypeVar("Wanted")


class Passes:
    """For one event loop; tenants are known by their UIDs.

    What waits for a tenant's API server has threads of its own: a tenant can make that hang as long as
    it likes (a webhook of its own is enough), and however many do, the others' passes go on (law 3).
    """

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE, "pass")
        self._waiting = ThreadPoolExecutor(TENANTS_AT_ONCE, "tenant-pass")

    def runs(self, uid: str) -> bool:
        """Whether a pass over the tenant is under way."""
        lock = self._locks.get(uid)
        return lock is not None and lock.locked()

    async def run(self, uid: str, work: Callable[[], Result]) -> Result:
        """A pass that asks the super cluster only."""
        async with self._locks.setdefault(uid, asyncio.Lock()):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def run_in_two(
        self, uid: str, first: Callable[[], Wanted | None], then: Callable[[Wanted], None]
    ) -> None:
        """A pass of two parts: the second asks the tenant too, with what the first found, if anything."""
        loop = asyncio.get_running_loop()
        async with self._locks.setdefault(uid, asyncio.Lock()):
            wanted = await loop.run_in_executor(self._threads, first)
            if wanted is not None:
                await loop.run_in_executor(self._waiting, then, wanted)

    def forget(self, uid: str) -> None:
        """The tenant is gone."""
        self._locks.pop(uid, None)

    def close(self) -> None:
        """Return when no pass runs any more."""
        self._threads.shutdown()
        self._waiting.shutdown()
