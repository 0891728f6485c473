"""What a run of the bench can be told."""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DIRECTORY = Path(tempfile.gettempdir()) / "virtualcluster-bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The sizes of the loads. Times are in seconds, rates in pods per second."""

    pods: int = 500
    tenants: int = 5
    rounds: int = 2
    """How often each burst is repeated, direct and through the tenants in turn."""
    paced_rate: float = 15.0
    paced_seconds: float = 20.0
    hung_seconds: float = 60.0
    """How long the hung tenant's API server stands still."""
    memory_pods: int = 2000
    requests: int = 100
    """On the real node, each way: logs of one line,"""
    commands: int = 30
    """commands executed,"""
    logs: int = 15
    """whole logs read,"""
    starts: int = 10
    """and pods started."""
    quick: bool = False
    directory: Path = DEFAULT_DIRECTORY
    keep: bool = False

    @property
    def paced_pods(self) -> int:
        """How many pods a paced load has."""
        return max(1, round(self.paced_rate * self.paced_seconds))

    @property
    def command(self) -> str:
        """The command that repeats this run."""
        words = ["python -m tests.bench"]
        if self.quick:
            words.append("--quick")
        for name in ("pods", "tenants", "rounds", "paced_rate", "memory_pods"):
            value = getattr(self, name)
            if value != getattr(QUICK if self.quick else FULL, name):
                words.append(f"--{name.replace('_', '-')} {value:g}")
        return " ".join(words) if len(words) > 1 else "make bench"


FULL = Options()
QUICK = Options(
    pods=60,
    tenants=2,
    rounds=1,
    paced_seconds=6,
    hung_seconds=15,
    memory_pods=200,
    requests=20,
    commands=5,
    logs=3,
    starts=2,
    quick=True,
)


def parse(arguments: list[str]) -> Options:
    """The options of a command line; ends the program with a sentence if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure the tenants' path against the direct path, in one run on one system.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="A small run, to try the bench itself."
    )
    for name, kind, text in (
        ("pods", int, "pods of a burst"),
        ("tenants", int, "tenants, at least 2"),
        ("rounds", int, "repetitions of each burst"),
        ("paced-rate", float, "pods per second of the paced loads"),
        ("memory-pods", int, "pods while memory is measured"),
    ):
        default = getattr(FULL, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=kind, help=f"{text} (default {default:g})")
    parser.add_argument(
        "--state-dir",
        type=Path,
        dest="directory",
        help=f"a folder of the bench's own (default {DEFAULT_DIRECTORY})",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        default=None,
        help="leave the system up; the next run ends it",
    )
    words = vars(parser.parse_args(arguments))
    given = {name: value for name, value in words.items() if value is not None}
    options = replaced(QUICK if given.get("quick") else FULL, given)
    for name, least, most in (("pods", 1, 10000), ("tenants", 2, 50), ("rounds", 1, 20)):
        if not least <= getattr(options, name) <= most:
            parser.error(f"--{name} must be between {least} and {most}")
    if not 0.1 <= options.paced_rate <= 1000:
        parser.error("--paced-rate must be between 0.1 and 1000 pods per second")
    if not 1 <= options.memory_pods <= 4000:
        parser.error("--memory-pods must be between 1 and 4000, which the nodes have room for")
    return options


def replaced(options: Options, given: dict[str, object]) -> Options:
    """These options with the given values instead."""
    values = {name: getattr(options, name) for name in Options.__slots__}
    return Options(**{**values, **given})
