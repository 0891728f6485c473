"""How many requests at once an API server is given, by what its answers take."""

from collections.abc import Callable

from syncer.runtime.allowance import LEAST, SLOWER, WINDOW_SECONDS, Allowance

MOST = 20
MANY = 400
QUICK = 0.005


class Clock:
    """Says what it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def serve(
    allowance: Allowance,
    seconds: Callable[[int], float],
    answers: int = MANY,
    *,
    scarce: bool = True,
) -> None:
    """Answers that take what the limit makes them take."""
    for _ in range(answers):
        allowance.answered("POST", seconds(allowance.limit), scarce)


def calm() -> tuple[Allowance, Clock]:
    """One that has seen how quick the server can be."""
    clock = Clock()
    allowance = Allowance(MOST, clock)
    allowance.answered("POST", QUICK, scarce=False)
    return allowance, clock


def test_it_begins_small_and_grows_while_answers_are_quick() -> None:
    allowance, _ = calm()
    assert allowance.limit == LEAST
    serve(allowance, lambda _: 2 * QUICK)
    assert allowance.limit == MOST


def test_it_does_not_grow_while_nobody_waits() -> None:
    """What was never under way at once says nothing about how many may be."""
    allowance, _ = calm()
    serve(allowance, lambda _: QUICK, scarce=False)
    assert allowance.limit == LEAST


def test_it_ends_where_answers_take_a_few_times_as_long() -> None:
    """A server that works on one request at a time: the others wait inside it."""
    allowance, _ = calm()
    serve(allowance, lambda limit: limit * QUICK)
    assert SLOWER - 1 <= allowance.limit <= SLOWER + 1


def test_a_slow_server_is_given_the_least() -> None:
    allowance, _ = calm()
    serve(allowance, lambda _: QUICK)
    serve(allowance, lambda _: 1.0)
    assert allowance.limit == LEAST
    serve(allowance, lambda _: QUICK)
    assert allowance.limit == MOST, "and more again when it has recovered"


def test_a_few_slow_ones_among_many_change_little() -> None:
    """One tenant's webhook in the super cluster hangs, say."""
    allowance, _ = calm()
    serve(allowance, lambda _: QUICK)
    for _ in range(MANY):
        serve(allowance, lambda _: QUICK, 4)
        allowance.answered("POST", 1.0, scarce=True)
        assert allowance.limit >= MOST - 1


def test_kinds_of_requests_are_compared_with_their_own_kind() -> None:
    allowance, _ = calm()
    for _ in range(MANY):
        allowance.answered("DELETE", 10 * QUICK, scarce=True)
    assert allowance.limit == MOST


def test_a_server_that_has_moved_away_for_good_is_given_more_again() -> None:
    far = 20 * QUICK
    allowance, clock = calm()
    serve(allowance, lambda _: far)
    assert allowance.limit == LEAST
    for _ in range(2):
        clock.now += WINDOW_SECONDS
        serve(allowance, lambda _: far)
    serve(allowance, lambda _: far)
    assert allowance.limit == MOST


def test_it_is_remembered_for_a_while_how_quick_it_was() -> None:
    """A burst that lasts does not become what is normal by lasting longer than a window."""
    allowance, clock = calm()
    clock.now += WINDOW_SECONDS
    serve(allowance, lambda _: 10 * QUICK)
    assert allowance.limit == LEAST


def test_one_that_says_it_has_too_much_to_do_is_given_the_least() -> None:
    allowance, _ = calm()
    serve(allowance, lambda _: QUICK)
    allowance.pressed()
    assert allowance.limit == LEAST


def test_one_at_a_time_can_be_wanted() -> None:
    allowance = Allowance(1)
    assert allowance.limit == 1
    serve(allowance, lambda _: QUICK)
    assert allowance.limit == 1
