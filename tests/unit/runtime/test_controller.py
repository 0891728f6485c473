"""A controller works on each request until it succeeds, and no request can stop it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from kube.errors import ApiError, Unreachable
from syncer.runtime.breaker import FIRST_PROBE, LONGEST_PROBE, OPENS_AFTER, CircuitBreaker
from syncer.runtime.controller import Controller, backoff
from syncer.runtime.workqueue import Request, WorkQueue
from tests.fakes.waiting import eventually, grows_by

MANY = 40


def a_request(name: str = "web", tenant: str = "acme") -> Request:
    return Request(tenant, "pods", "default", name)


class Outcomes:
    """What the observer heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def __call__(self, request: Request, outcome: str, waited: float, took: float) -> None:
        assert waited >= 0
        assert took >= 0
        self.heard.append((request.name, outcome))

    def of(self, name: str) -> list[str]:
        return [outcome for named, outcome in self.heard if named == name]


@contextlib.asynccontextmanager
async def controlled(
    reconcile: Callable[[Request], Awaitable[None]],
    queue: WorkQueue,
    outcomes: Outcomes,
    *,
    workers: int = 2,
    timeout: float = 5.0,
) -> AsyncIterator[None]:
    """A controller that runs."""
    controller = Controller(
        "test", queue, reconcile, workers=workers, timeout=timeout, observe=outcomes
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(controller.run())
        yield
        running.cancel()


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (ApiError(409, "Conflict", "modified"), "retry"),
        (Unreachable("no answer"), "retry"),
        (KeyError("spec"), "error"),
    ],
)
async def test_a_request_that_fails_is_tried_again_until_it_succeeds(
    failure: Exception, outcome: str
) -> None:
    failures = [failure, failure]

    async def reconcile(_request: Request) -> None:
        if failures:
            raise failures.pop()

    queue, outcomes = WorkQueue(10), Outcomes()
    async with controlled(reconcile, queue, outcomes):
        queue.add(a_request())
        await eventually(lambda: len(outcomes.heard) == 3, "it has succeeded")
    assert outcomes.of("web") == [outcome, outcome, "ok"]


async def test_what_others_hurry_is_not_put_off_for_longer_than_its_own_tries_are_worth() -> None:
    """Many pods wait for one config map, and each asks for it: when it can be had it comes soon."""
    broken = [True]

    async def reconcile(_request: Request) -> None:
        if broken:
            raise Unreachable("no answer")

    queue, outcomes = WorkQueue(10), Outcomes()
    async with controlled(reconcile, queue, outcomes):
        for hurried in range(20):
            queue.add(a_request())
            await eventually(lambda least=hurried: len(outcomes.heard) > least, "it has failed")  # type: ignore[misc]
        broken.clear()
        # Twenty failures of its own would be worth 22 seconds at least.
        await eventually(lambda: "ok" in outcomes.of("web"), "it is tried again soon", seconds=15)


async def test_a_poisonous_object_does_not_hold_up_the_others_of_its_tenant() -> None:
    async def reconcile(request: Request) -> None:
        if request.name == "poison":
            raise KeyError("spec")

    queue, outcomes = WorkQueue(1), Outcomes()
    async with controlled(reconcile, queue, outcomes, workers=1):
        queue.add(a_request("poison"))
        for number in range(20):
            queue.add(a_request(f"good-{number}"))
        await eventually(
            lambda: sum(outcome == "ok" for _, outcome in outcomes.heard) == 20, "all good are done"
        )


async def test_what_takes_too_long_is_given_up_and_tried_again() -> None:
    hangs = [True]

    async def reconcile(_request: Request) -> None:
        if hangs.pop() if hangs else False:
            await asyncio.Event().wait()

    queue, outcomes = WorkQueue(10), Outcomes()
    async with controlled(reconcile, queue, outcomes, timeout=0.05):
        queue.add(a_request())
        await eventually(lambda: len(outcomes.heard) == 2, "it was tried again")
    assert outcomes.of("web") == ["timeout", "ok"]


async def test_a_controller_that_is_stopped_does_not_take_that_for_a_late_answer() -> None:
    started = asyncio.Event()

    async def reconcile(_request: Request) -> None:
        started.set()
        await asyncio.Event().wait()

    queue, outcomes = WorkQueue(10), Outcomes()
    async with controlled(reconcile, queue, outcomes):
        queue.add(a_request())
        await started.wait()
    assert outcomes.heard == []


async def test_one_object_is_never_worked_on_by_two() -> None:
    working: Counter[Request] = Counter()
    worst = 0

    async def reconcile(request: Request) -> None:
        nonlocal worst
        working[request] += 1
        worst = max(worst, working[request])
        await asyncio.sleep(0)
        working[request] -= 1

    queue, outcomes = WorkQueue(10), Outcomes()
    async with controlled(reconcile, queue, outcomes, workers=8):
        for _ in range(50):
            queue.add(a_request("a"))
            queue.add(a_request("b"))
            await asyncio.sleep(0)
        await eventually(lambda: queue.idle, "all is done")
    assert worst == 1


def test_the_wait_grows_with_the_failures_and_stays_bounded() -> None:
    assert 0.01 < backoff(0) < 0.1
    assert backoff(4) > backoff(0)
    assert all(backoff(failures) <= 40 for failures in range(0, 2000, 100))


class Probed:
    """A server that a breaker probes, and what the breaker told."""

    def __init__(self) -> None:
        self.answers = False
        self.probes = 0
        self.told: list[str] = []
        self.breaker = CircuitBreaker(
            self._probe, lambda: self.told.append("opened"), lambda: self.told.append("closed")
        )

    def falls_silent(self) -> None:
        for _ in range(OPENS_AFTER):
            self.breaker.observe(answered=False)

    async def _probe(self) -> None:
        self.probes += 1
        if not self.answers:
            raise Unreachable("no answer")


def test_a_breaker_opens_after_some_silence_in_a_row_only() -> None:
    probed = Probed()
    for _ in range(10):
        for _ in range(OPENS_AFTER - 1):
            probed.breaker.observe(answered=False)
        probed.breaker.observe(answered=True)
    assert not probed.breaker.is_open
    for _ in range(OPENS_AFTER + 3):
        probed.breaker.observe(answered=False)
    assert probed.breaker.is_open
    assert probed.told == ["opened"]


async def test_a_breaker_closes_when_the_server_answers_a_probe() -> None:
    probed = Probed()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(probed.breaker.run())
        for _ in range(OPENS_AFTER):
            probed.breaker.observe(answered=False)
        probed.answers = True
        await eventually(lambda: probed.told == ["opened", "closed"], "it is closed")
        assert not probed.breaker.is_open
        for _ in range(OPENS_AFTER - 1):
            probed.breaker.observe(answered=False)
        assert not probed.breaker.is_open
        running.cancel()


async def test_a_breaker_that_is_hurried_probes_at_once() -> None:
    probed = Probed()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(probed.breaker.run())
        probed.falls_silent()
        async with asyncio.timeout(MANY * LONGEST_PROBE / 4):  # else it takes about MANY times that
            for _ in range(MANY):
                await grows_by(probed.breaker.hurry, lambda: probed.probes, "it has probed")
        running.cancel()


async def test_a_server_that_only_answers_probes_is_probed_less_and_less() -> None:
    probed = Probed()
    probed.answers = True
    start = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(probed.breaker.run())
        for _ in range(4):
            await grows_by(probed.falls_silent, lambda: probed.told.count("closed"), "it closes")
        running.cancel()
    rests = sum(FIRST_PROBE * 2**times for times in range(4))
    assert asyncio.get_running_loop().time() - start >= 0.8 * rests
