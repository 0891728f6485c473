"""The wall clock may be set: forward or back, by whoever may."""

from syncer.runtime.clock import WallClock


class Clocks:
    """The wall clock and one that is never set."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_800_000_000.0, 50.0

    def pass_(self, seconds: float, wall: float | None = None) -> None:
        self.steady += seconds
        self.wall += seconds if wall is None else wall


def test_it_is_noticed_once_by_how_much_the_clock_was_set_back() -> None:
    clocks = Clocks()
    clock = WallClock(lambda: clocks.wall, lambda: clocks.steady)
    clocks.pass_(5)
    assert clock.set_back() == 0
    clocks.pass_(5, wall=-3600 + 5)
    assert clock.set_back() == 3600
    clocks.pass_(5)
    assert clock.set_back() == 0


def test_forward_and_slow_corrections_are_none_of_its_business() -> None:
    clocks = Clocks()
    clock = WallClock(lambda: clocks.wall, lambda: clocks.steady)
    clocks.pass_(5, wall=86400)
    assert clock.set_back() == 0
    clocks.pass_(5, wall=4.7)
    assert clock.set_back() == 0
