"""Durations."""

import pytest

from vcluster.cli.arguments import seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("1.5", 1.5), ("250ms", 0.25), ("2m", 120), ("1m30s", 90)]
)
def test_durations_are_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "x", "5x", "-1", "1 m", "1m x"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="1m30s"):
        seconds(text)
