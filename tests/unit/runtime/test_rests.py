"""How often one object is looked at, by the clock of the test."""

from syncer.runtime.rests import IN_A_ROW, PER_SECOND, Rests


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_life_of_ordinary_length_has_no_rest() -> None:
    rests = Rests(Clock())
    assert [rests.after_look("pod") for _ in range(IN_A_ROW)] == [0.0] * IN_A_ROW
    assert rests.after_look("pod") > 0


def test_who_changes_all_the_time_is_looked_at_so_many_times_a_second() -> None:
    clock = Clock()
    rests, looks = Rests(clock), 0
    while clock.now < 110.0:
        clock.now += rests.after_look("busy") or 0.001
        looks += 1
    assert 10 * PER_SECOND <= looks <= 10 * PER_SECOND + IN_A_ROW + 1
    assert rests.after_look("another") == 0.0


def test_after_a_pause_all_is_as_at_the_beginning() -> None:
    clock = Clock()
    rests = Rests(clock)
    while not rests.after_look("busy"):
        pass
    clock.now += IN_A_ROW / PER_SECOND
    assert rests.after_look("busy") == 0.0


def test_only_busy_objects_are_remembered() -> None:
    clock = Clock()
    rests = Rests(clock)
    while not rests.after_look("busy"):
        pass
    for number in range(50_000):
        clock.now += 0.0001  # 10,000 a second
        rests.after_look(number)
    assert len(rests) <= 10_000 * IN_A_ROW / PER_SECOND
    clock.now += 0.001
    while not rests.after_look("busy"):
        pass
    clock.now += 60
    for number in range(50_000):
        rests.after_look(-number)
        clock.now += 0.1
    assert len(rests) < 3000
