"""Which level a share has reached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcluster.datastore.limits import Level, Limits, Share, level
from vcluster.datastore.messages import Stored

LIMITS = Limits(objects=1000, size=1_000_000)


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
