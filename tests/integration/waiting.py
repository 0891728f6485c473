"""Waiting for a condition, with a time-out that names what it waited for."""

import time
from collections.abc import Callable
from typing import TypeVar

from vcluster.control_plane.cluster import ApiError, Unreachable
from vcluster.supervision import SupervisionError

Result = TypeVar("Result")

POLL_SECONDS = 0.1


def eventually(what: str, condition: Callable[[], Result | None], seconds: float = 180.0) -> Result:
    """The first true result. Refusals and silence of servers count as not yet."""
    deadline = time.monotonic() + seconds
    problem = ""
    while True:
        try:
            if result := condition():
                return result
        except (ApiError, Unreachable, SupervisionError) as error:
            problem = f" (last: {error})"
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain until {what}{problem}")
        time.sleep(POLL_SECONDS)
