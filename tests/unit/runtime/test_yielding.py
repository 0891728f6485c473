"""How far loud tenants stand back while a quiet one is about."""

import pytest

from syncer.runtime.yielding import LEAST, LONGEST_REST, MOST, QUIET_SECONDS, STEP, Yielding

STEPS = round((MOST - LEAST) / STEP)
TOOK = 0.03


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def disturbed(slow: int, busy: int = 10) -> tuple[Yielding, Clock]:
    """A quiet tenant had so many slow answers; before, ``busy`` of ten loud ones were slow."""
    clock = Clock()
    yielding = Yielding(clock)
    for number in range(10):
        yielding.answered(slow=number < busy, loud=True)
    for _ in range(slow):
        yielding.answered(slow=True, loud=False)
    return yielding, clock


def test_nobody_stands_back_where_quiet_ones_are_answered_quickly() -> None:
    yielding, _ = disturbed(0)
    for _ in range(50):
        assert not yielding.holds
        yielding.loud_goes()
    assert yielding.loud_ends(TOOK) == 0


@pytest.mark.parametrize("slow", range(1, STEPS + 1))
def test_one_loud_request_is_under_way_at_a_time(slow: int) -> None:
    """Also if it is to be less than one."""
    yielding, _ = disturbed(slow)
    assert not yielding.holds
    yielding.loud_goes()
    assert yielding.holds
    if yielding.loud_ends(TOOK):
        yielding.rested()
    assert not yielding.holds


def test_nobody_stands_back_where_the_loud_ones_are_answered_quickly() -> None:
    """The server is not busy: what is slow is the quiet tenant's own."""
    yielding, _ = disturbed(STEPS, busy=1)
    yielding.loud_goes()
    yielding.loud_goes()
    assert not yielding.holds


def test_no_rest_is_longer_than_a_request_counts() -> None:
    """The loop may have stood still meanwhile."""
    yielding, _ = disturbed(STEPS)
    yielding.loud_goes()
    assert yielding.loud_ends(60.0) == LONGEST_REST


@pytest.mark.parametrize("slow", [STEPS, 50 * STEPS])
def test_at_the_most_they_rest_as_long_as_they_took(slow: int) -> None:
    yielding, _ = disturbed(slow)
    yielding.loud_goes()
    assert yielding.loud_ends(TOOK) == pytest.approx(TOOK)
    assert yielding.holds, "it rests"
    yielding.rested()
    assert not yielding.holds


def test_one_rest_at_a_time() -> None:
    """Of those that were under way before, each would else begin one, and the first to end would end all."""
    yielding, _ = disturbed(STEPS)
    yielding.loud_goes()
    yielding.loud_goes()
    assert yielding.loud_ends(TOOK) > 0
    assert yielding.loud_ends(TOOK) == 0
    yielding.rested()
    assert not yielding.holds


def test_quick_answers_end_it() -> None:
    yielding, _ = disturbed(50 * STEPS)
    yielding.loud_goes()
    for _ in range(STEPS):
        assert yielding.holds
        yielding.answered(slow=False, loud=False)
    assert not yielding.holds


def test_quick_answers_of_before_are_no_credit() -> None:
    yielding, _ = disturbed(0)
    for _ in range(50 * STEPS):
        yielding.answered(slow=False, loud=False)
    yielding.answered(slow=True, loud=False)
    yielding.loud_goes()
    assert yielding.holds


def test_it_ends_when_no_quiet_tenant_is_about() -> None:
    """Whatever it found before; a burst beside nobody takes all that there is."""
    yielding, clock = disturbed(STEPS)
    yielding.loud_goes()
    clock.now += QUIET_SECONDS - 0.01
    assert yielding.holds
    clock.now += 0.02
    assert not yielding.holds
    assert yielding.loud_ends(TOOK) == 0


def test_what_was_under_way_before_counts() -> None:
    yielding, _ = disturbed(0)
    for _ in range(3):
        yielding.loud_goes()
    for _ in range(STEPS - 2):
        yielding.answered(slow=True, loud=False)
    for _ in range(2):
        yielding.loud_ends(TOOK)
        assert yielding.holds
    yielding.loud_ends(TOOK)
    assert not yielding.holds
