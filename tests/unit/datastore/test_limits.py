"""Which level a share has reached, and which stage what was written lately."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcluster.datastore.limits import (
    REVISION_SIZE,
    History,
    Level,
    Limits,
    Share,
    Stage,
    Standing,
    added,
    level,
    stage,
    standing,
)
from vcluster.datastore.messages import Stored

LIMITS = Limits(objects=1000, size=1_000_000, history=1_000_000, window=600.0)


def a_share(objects: int = 1, size: int = 100) -> Share:
    share = Share()
    share.apply(Stored(b"%d" % index, 1) for index in range(objects - 1))
    share.apply([Stored(b"last", size - objects + 1)])
    return share


@pytest.mark.parametrize(
    ("objects", "size", "before", "expected"),
    [
        (999, 999_999, Level.OPEN, Level.OPEN),
        (1000, 2000, Level.OPEN, Level.FULL),
        (1, 1_000_000, Level.OPEN, Level.FULL),
        (981, 2000, Level.FULL, Level.FULL),
        (979, 2000, Level.FULL, Level.OPEN),
        (1, 1_100_000, Level.OPEN, Level.SHUT),
        (1100, 2000, Level.FULL, Level.SHUT),
        (1, 1_079_000, Level.SHUT, Level.SHUT),
        (1, 1_077_000, Level.SHUT, Level.FULL),
        (1, 10_000, Level.SHUT, Level.OPEN),
    ],
)
def test_levels(objects: int, size: int, before: Level, expected: Level) -> None:
    assert level(a_share(objects, size), LIMITS, before) is expected


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 50))))
def test_a_share_is_what_is_stored_last(changes: list[tuple[bytes, int]]) -> None:
    share, stored = Share(), dict(changes)
    share.apply(Stored(key, size) for key, size in changes)
    assert share.objects == sum(size > 0 for size in stored.values())
    assert share.size == sum(stored.values())


@pytest.mark.parametrize(
    ("written", "before", "expected"),
    [
        (0, Stage.FREE, Stage.FREE),
        (999_999, Stage.FREE, Stage.FREE),
        (1_000_000, Stage.FREE, Stage.SLOWED),
        (1_500_000, Stage.FREE, Stage.HELD),
        (1_500_000, Stage.SLOWED, Stage.HELD),
        (2_000_000, Stage.FREE, Stage.STOPPED),
        (9_000_000, Stage.STOPPED, Stage.STOPPED),
        (1_800_000, Stage.STOPPED, Stage.STOPPED),
        (1_799_999, Stage.STOPPED, Stage.HELD),
        (1_350_000, Stage.HELD, Stage.HELD),
        (1_349_999, Stage.HELD, Stage.SLOWED),
        (900_000, Stage.SLOWED, Stage.SLOWED),
        (899_999, Stage.SLOWED, Stage.FREE),
        (0, Stage.STOPPED, Stage.FREE),
    ],
)
def test_stages(written: int, before: Stage, expected: Stage) -> None:
    assert stage(written, LIMITS.history, before) is expected


def test_level_and_stage_do_not_depend_on_each_other() -> None:
    share, before = a_share(1000, 2000), Standing(stage=Stage.SLOWED)
    assert standing(share, 950_000, LIMITS, before) == (Level.FULL, Stage.SLOWED)
    assert standing(a_share(), 950_000, LIMITS, Standing(Level.FULL)) == (Level.OPEN, Stage.FREE)


def test_what_is_written_counts_until_the_window_has_passed() -> None:
    history = History(600.0)
    history.add(5, 1000.0)
    history.add(7, 1300.0)
    assert [history.written(now) for now in (1300.0, 1600.0)] == [12, 12]
    assert history.written(1620.0) == 7, "a bucket of 10 s later at most"
    assert history.written(1910.1) == 0, "it passes by time alone"


def test_a_window_goes_on_after_a_long_silence() -> None:
    history = History(60.0)
    history.add(5, 10.0)
    history.add(7, 10.0 + 61 * 40)  # the same place in the ring
    assert history.written(10.0 + 61 * 40) == 7


times = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100)), max_size=40)


@given(times, st.sampled_from([20.0, 60.0, 90.0]))
def test_no_write_is_forgotten_early_nor_kept_long(
    steps: list[tuple[int, int]], window: float
) -> None:
    """Steps: tenths of a second since the last write, and its bytes."""
    history, now, writes = History(window), 1000.0, []
    for tenths, size in steps:
        now += tenths / 10
        history.add(size, now)
        writes.append((now, size))
    within = sum(size for at, size in writes if at > now - window)
    hardly = sum(size for at, size in writes if at > now - window * 61 / 60 - 0.001)
    assert within <= history.written(now) <= hardly


def test_what_a_write_adds() -> None:
    changes = [Stored(b"/a", 1000), Stored(b"/a", 1000), Stored(b"/b", 0)]
    assert added(changes) == 2002 + 3 * REVISION_SIZE
