"""How often each may do something, by the clock of the test."""

import pytest

from syncer.runtime.pace import Pace


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_some_at_once_and_then_one_after_the_other(clock: Clock) -> None:
    pace = Pace(10, 3, clock)
    assert [pace.delay("a") for _ in range(3)] == [0, 0, 0]
    assert [round(pace.delay("a"), 6) for _ in range(2)] == [0.1, 0.2]
    clock.now += 0.2
    assert round(pace.delay("a"), 6) == 0.1
    assert pace.delay("b") == 0, "each has a pace of its own"


def test_a_pause_is_worth_no_more_than_what_may_be_done_at_once(clock: Clock) -> None:
    pace = Pace(10, 3, clock)
    while not pace.delay("a"):
        pass
    clock.now += 3600
    assert [pace.delay("a") for _ in range(3)] == [0, 0, 0]
    assert pace.delay("a") > 0


def test_who_waits_as_told_does_so_much_in_a_second(clock: Clock) -> None:
    pace, number = Pace(5, 20, clock), 0
    while clock.now < 110.0:
        clock.now += pace.delay("busy") or 0.001
        number += 1
    assert 10 * 5 <= number <= 10 * 5 + 20 + 1


def test_only_the_busy_are_remembered(clock: Clock) -> None:
    pace = Pace(5, 20, clock)
    for number in range(50_000):
        pace.delay(number)
        clock.now += 0.01
        if not number % 2:
            pace.delay("busy")
    assert len(pace) < 3000
    assert pace.delay("busy") > 0, "it is not forgotten with the others"


def test_who_has_just_been_busy_is_not_forgotten(clock: Clock) -> None:
    pace = Pace(5, 20, clock)
    assert not any(pace.delay("a") for _ in range(20))
    for number in range(5000):
        pace.delay(number)
    assert pace.delay("a") > 0
