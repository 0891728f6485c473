"""Kubernetes quantities (``500m``, ``16Gi``, ``1e3``) as exact integers.

The unit is the nano, 10^-9: the finest that Kubernetes keeps. Anything finer is rounded up, as
apimachinery's resource.Quantity does.
"""

import re
from fractions import Fraction
from math import ceil

NANOS = 10**9
"""One, in nanos."""

_QUANTITY = re.compile(
    r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d{1,3})|([KMGTPE]i|[numkMGTPE]?))"
)
_BINARY = {f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def nanos(quantity: str | int) -> int:
    """The value of a quantity. Raises ValueError for what is none."""
    if isinstance(quantity, int):
        return quantity * NANOS
    found = _QUANTITY.fullmatch(quantity)
    if found is None or len(quantity) > 64:
        raise ValueError(f"{quantity[:64]!r} is not a quantity, such as 500m, 4 or 16Gi")
    sign, number, exponent, suffix = found.groups()
    if exponent:
        scale = Fraction(10) ** int(exponent[1:])
    else:
        scale = _BINARY.get(suffix) or Fraction(10) ** _DECIMAL[suffix]
    value = ceil(Fraction(number) * scale * NANOS)
    return -value if sign == "-" else value


def quantity(value: int, *, binary: bool = False) -> str:
    """A value in nanos as people write it; ``binary``: bytes, in Ki, Mi, Gi where that is exact."""
    if value % NANOS == 0:
        whole, suffix = value // NANOS, ""
        for larger in _BINARY if binary else ():
            if not whole or whole % 1024:
                break
            whole, suffix = whole // 1024, larger
        return f"{whole}{suffix}"
    if value % 10**6 == 0:
        return f"{value // 10**6}m"
    return f"{value}n"
