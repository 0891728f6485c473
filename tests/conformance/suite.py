"""One run of upstream's tests against one cluster, and what became of each test."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree

CUT_SHORT = ("timedout", "interrupted", "aborted")
"""The run came to its end, which says nothing of the test that was under way."""


class Outcome(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It looked at the cluster, and found that it does not apply."""


@dataclass(frozen=True, slots=True)
class Result:
    """A test's outcome, and why, if it is not passed."""

    outcome: Outcome
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which tests are run, and how."""

    focus: str
    skip: str
    """Regular expressions of Go, searched in the tests' names."""
    processes: int
    timeout: str
    """Of the whole run, as Go writes durations: 45m."""


def run(programs: Path, kubeconfig: Path, selection: Selection, report: Path) -> None:
    """Run the selected tests to their end, however that is. What they say goes to ``report``."""
    report.mkdir(parents=True, exist_ok=True)
    command = [
        str(programs / "ginkgo"),
        f"--procs={selection.processes}",
        f"--timeout={selection.timeout}",
        f"--focus={selection.focus}",
        f"--skip={selection.skip}",
        "--no-color",
        "--silence-skips",
        str(programs / "e2e.test"),
        "--",
        "--provider=skeleton",
        f"--kubeconfig={kubeconfig}",
        f"--report-dir={report}",
        "--allowed-not-ready-nodes=0",
        "--disable-log-dump",
    ]
    with (report / "output.log").open("w") as log:
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False
        )


def results(report: Path) -> Mapping[str, Result]:
    """The tests that ran, by name."""
    found: dict[str, Result] = {}
    for file in sorted(report.glob("junit*.xml")):
        for case in ElementTree.parse(file).getroot().iter("testcase"):
            name, result = case.get("name", ""), _result(case)
            if name.startswith("[It] ") and result is not None:
                found[name.removeprefix("[It] ")] = result
    return found


def _result(case: ElementTree.Element) -> Result | None:
    seconds = float(case.get("time", "0"))
    if case.get("status") in CUT_SHORT:
        return None
    for tag in ("failure", "error"):
        if (element := case.find(tag)) is not None:
            said = (element.get("message") or element.text or "").strip()
            return Result(Outcome.FAILED, seconds, said.removeprefix("[FAILED] "))
    if (element := case.find("skipped")) is not None:
        message = element.get("message", "")
        # What the focus leaves out is written too, with no word of its own.
        if not message.startswith("skipped - "):
            return None
        return Result(Outcome.SKIPPED, seconds, message.removeprefix("skipped - "))
    return Result(Outcome.PASSED, seconds)
