"""A row for each entry."""

from tests.charts.report import Result, text


def test_a_row_says_why_it_failed() -> None:
    table = text(
        [
            Result(name="a", version="v1", seconds=1.6),
            Result(name="b", version="v2", seconds=0, reason="it broke |\n  somewhere"),
        ]
    )
    assert "| a | v1 | passed | 2 |  |" in table
    assert "| b | v2 | failed | 0 | it broke \\| somewhere |" in table
