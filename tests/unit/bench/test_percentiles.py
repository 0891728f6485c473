"""Percentiles are values that were measured."""

import math

import pytest

from tests.bench.percentiles import p50, p99, percentile


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (1.0, 100)]
)
def test_nearest_rank(share: float, expected: int) -> None:
    assert percentile(reversed(range(1, 101)), share) == expected


def test_few_values() -> None:
    assert p50([3.0]) == p99([3.0]) == 3.0
    assert p50([1.0, 2.0]) == 1.0
    assert p99([1.0, 2.0]) == 2.0


def test_none_is_not_a_number() -> None:
    assert math.isnan(p50([]))
