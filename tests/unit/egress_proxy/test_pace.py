"""A tenant that asks all the time is answered at a pace."""

from egress_proxy.pace import Pace


def test_some_at_once_and_then_one_after_the_other() -> None:
    now = 100.0
    pace = Pace(10, 3, lambda: now)
    assert [pace.delay() for _ in range(3)] == [0, 0, 0]
    assert [round(pace.delay(), 6) for _ in range(2)] == [0.1, 0.2]
    now += 0.2
    assert round(pace.delay(), 6) == 0.1


def test_a_pause_is_worth_no_more_than_what_may_be_done_at_once() -> None:
    now = 100.0
    pace = Pace(10, 3, lambda: now)
    now += 3600
    assert [pace.delay() for _ in range(3)] == [0, 0, 0]
    assert pace.delay() > 0
