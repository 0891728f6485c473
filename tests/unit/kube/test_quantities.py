"""Quantities are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.quantities import NANOS, nanos, quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", NANOS),
        (3, 3 * NANOS),
        ("500m", NANOS // 2),
        ("0.1", NANOS // 10),
        (".5", NANOS // 2),
        ("1e3", 1000 * NANOS),
        ("1E", 10**18 * NANOS),
        ("16Gi", 16 * 2**30 * NANOS),
        ("1.5Ki", 1536 * NANOS),
        ("-2", -2 * NANOS),
        ("0.1n", 1),  # rounded up, as Kubernetes does
    ],
)
def test_read(text: str | int, value: int) -> None:
    assert nanos(text) == value


@pytest.mark.parametrize("text", ["", "1 Gi", "GiB", "1KI", "1e", "--1", "0x10", "1" * 70])
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity, such as"):
        nanos(text)


@given(st.integers(0, 10**27), st.booleans())
def test_what_is_written_is_read_again(value: int, binary: bool) -> None:
    assert nanos(quantity(value, binary=binary)) == value


def test_written_as_people_do() -> None:
    assert quantity(1500 * 10**6) == "1500m"
    assert quantity(3 * 2**30 * NANOS, binary=True) == "3Gi"
    assert quantity(0, binary=True) == "0"
