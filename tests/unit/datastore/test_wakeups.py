"""Wake-ups by the clock of the test; what becomes of sockets by the real one."""

import asyncio
import selectors
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.fakes.waiting import eventually
from vcluster.datastore.wakeups import (
    AT_ONCE,
    LONGEST_WAIT,
    PER_SECOND,
    PacedSelector,
    paced_loop,
    run_apart,
)


class Clock:
    """Seconds that pass only by waiting."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def selector(clock: Clock) -> Iterator[PacedSelector]:
    """One that always finds something."""
    ours, theirs = socket.socketpair()
    with ours, theirs, PacedSelector(lambda: clock.now, clock.wait) as found:
        theirs.send(b"x")
        found.register(ours, selectors.EVENT_READ)
        yield found


def test_few_wake_ups_are_never_late(clock: Clock, selector: PacedSelector) -> None:
    for _ in range(1000):
        assert selector.select(None)
        clock.now += 1.1 / PER_SECOND
    assert clock.waits == []


def test_a_few_in_a_row_are_not_late_either(clock: Clock, selector: PacedSelector) -> None:
    for _ in range(AT_ONCE):
        assert selector.select(None)
    assert clock.waits == []


def test_many_become_so_many_in_a_second(clock: Clock, selector: PacedSelector) -> None:
    start, number = clock.now, 0
    while clock.now < start + 1:
        assert selector.select(None)
        clock.now += 0.0005  # to work on it
        number += 1
    assert PER_SECOND < number <= PER_SECOND + AT_ONCE
    assert max(clock.waits) <= LONGEST_WAIT


def test_no_timer_is_late(clock: Clock, selector: PacedSelector) -> None:
    for _ in range(AT_ONCE + 1):
        selector.select(None)
    before = clock.now
    selector.select(0.001)
    assert clock.now - before <= 0.001 + 1e-9


def test_while_there_is_work_io_is_looked_at_in_time(clock: Clock, selector: PacedSelector) -> None:
    assert selector.select(None)
    assert selector.select(0) == [], "what is known comes first"
    clock.now += LONGEST_WAIT * 1.01
    assert selector.select(0)
    assert clock.waits == []


def test_a_loop_that_is_never_idle_hears_of_sockets_and_timers() -> None:
    async def talk() -> None:
        loop = asyncio.get_running_loop()

        def again() -> None:
            loop.call_soon(again)

        again()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            for _ in range(AT_ONCE + 20):
                loop.call_later(0.001, theirs.send, b"word")
                assert await loop.sock_recv(ours, 100) == b"word"

    with asyncio.Runner(loop_factory=paced_loop) as runner:
        runner.run(asyncio.wait_for(talk(), 60))


async def test_work_apart_is_elsewhere_and_what_it_raises_is_raised() -> None:
    here = threading.get_ident()

    async def work() -> None:
        await asyncio.sleep(0)
        assert threading.get_ident() != here
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        await run_apart(work)


async def test_work_apart_is_cancelled_and_waited_for() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    running = asyncio.create_task(run_apart(work))
    await eventually(begun.is_set, "it works")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()
