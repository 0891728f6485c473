"""Order statistics of measured times. Pure."""

import math
from collections.abc import Iterable


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of the values do not exceed.

    NaN if there is none. Nearest rank: a value that was really measured, never one in between.
    """
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def p50(values: Iterable[float]) -> float:
    """The median."""
    return percentile(values, 0.5)


def p99(values: Iterable[float]) -> float:
    """The value that 99 of 100 do not exceed."""
    return percentile(values, 0.99)
