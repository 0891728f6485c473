"""Workers that take requests from a queue; the one place that decides about errors and retries."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from kube.errors import ApiError, Unreachable
from syncer.runtime.fair_transport import on_behalf_of
from syncer.runtime.workqueue import Request, WorkQueue

log = structlog.get_logger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.05, 30.0
"""Of tries of one request, in seconds; each is twice as long as the one before."""


class Observer(Protocol):
    """Is told how each request went (metrics)."""

    def __call__(self, request: Request, outcome: str, waited: float, took: float) -> None:
        """``outcome`` is ok, retry, timeout or error; times are in seconds."""


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row, with jitter."""
    delay = FIRST_DELAY * 2.0 ** min(failures, 12)
    return min(LONGEST_DELAY, delay) * random.uniform(0.75, 1.25)


class Controller:
    """``workers`` tasks that reconcile what a queue hands out, each at most ``timeout`` seconds."""

    def __init__(
        self,
        name: str,
        queue: WorkQueue,
        reconcile: Callable[[Request], Awaitable[None]],
        *,
        workers: int,
        timeout: float,
        observe: Observer,
    ) -> None:
        self._name = name
        self._queue = queue
        self._reconcile = reconcile
        self._workers = workers
        self._timeout = timeout
        self._observe = observe
        self._failures: dict[Request, tuple[int, float]] = {}
        """How often in a row, and until when it is put off, in monotonic seconds."""
        self._started: dict[asyncio.Task[None], float] = {}
        """The workers that reconcile, and since when, in monotonic seconds."""
        self._late: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._workers):
                tasks.create_task(self._work())
            tasks.create_task(self._watch_the_time())

    async def _watch_the_time(self) -> None:
        """One look at all workers: to time each reconciliation costs as much as a small one."""
        while True:
            await asyncio.sleep(min(1.0, self._timeout / 10))
            latest = time.monotonic() - self._timeout
            for worker in [worker for worker, start in self._started.items() if start < latest]:
                del self._started[worker]
                self._late.add(worker)
                worker.cancel()

    async def _in_time(self, worker: asyncio.Task[None], request: Request, start: float) -> None:
        """Reconcile. Raises TimeoutError if it was cancelled for taking too long."""
        self._started[worker] = start
        try:
            await self._reconcile(request)
        except asyncio.CancelledError:
            if worker in self._late and worker.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._started.pop(worker, None)
            self._late.discard(worker)

    async def _work(self) -> None:
        queue, worker = self._queue, asyncio.current_task()
        assert worker is not None
        while True:
            request = await queue.get()
            on_behalf_of.set(request.tenant)
            waited, start = queue.waited, time.monotonic()
            try:
                await self._in_time(worker, request, start)
            except TimeoutError:
                outcome = self._retry(request, "timeout", "the reconciliation took too long")
            except (ApiError, Unreachable) as error:
                outcome = self._retry(request, "retry", str(error))
            except Exception:
                # A fault of ours or a poisonous object: only this object waits, with back-off.
                log.exception("reconciliation failed", controller=self._name, request=request)
                outcome = self._retry(request, "error", "")
            else:
                self._failures.pop(request, None)
                outcome = "ok"
            finally:
                queue.done(request)
            self._observe(request, outcome, waited, time.monotonic() - start)

    def _retry(self, request: Request, outcome: str, reason: str) -> str:
        failures, until = self._failures.get(request, (0, 0.0))
        now = time.monotonic()
        if now >= until:  # else somebody has hurried it, which must not put it off for longer
            failures += 1
        delay = backoff(failures)
        self._failures[request] = failures, now + delay
        if failures >= 4 and reason:
            log.warning("will retry", controller=self._name, request=request, reason=reason)
        self._queue.retry_after(request, delay)
        return outcome

    def forget(self, tenant: str) -> None:
        """Drop what is remembered of a tenant that has gone."""
        for request in [request for request in self._failures if request.tenant == tenant]:
            del self._failures[request]
