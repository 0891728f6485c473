"""What became of each entry. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tests.charts.model import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One entry's."""

    name: str
    version: str
    seconds: float
    """From its installation until nothing is left of it; builds are not counted."""
    reason: str = ""
    """Why it failed; empty if it passed."""

    @classmethod
    def of(cls, entry: Entry, seconds: float, reason: str) -> Self:
        """With the entry's name and version."""
        return cls(name=entry.name, version=entry.module.version, seconds=seconds, reason=reason)


def text(results: Sequence[Result]) -> str:
    """A table, one row for each."""
    lines = ["| what | version | | seconds | reason |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        outcome = "failed" if result.reason else "passed"
        reason = " ".join(result.reason.split()).replace("|", "\\|")[:300]
        row = (result.name, result.version, outcome, f"{result.seconds:.0f}", reason)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"
