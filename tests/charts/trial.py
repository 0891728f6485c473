"""One entry in a tenant: install it, use it, remove it; nothing stays for the next one."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.charts.model import Entry
from tests.charts.report import Result
from tests.charts.steps import MANIFESTS
from tests.e2e.local_system import Cluster

KINDS = (
    "apiservices,validatingwebhookconfigurations,mutatingwebhookconfigurations,"
    "namespaces,customresourcedefinitions"
)
"""What may stay behind: helm keeps namespaces and the definitions in a chart's crds folder."""
GONE = ("--ignore-not-found", "--timeout=180s")
FAILURES = (AssertionError, OSError, subprocess.SubprocessError)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all entries are tried with."""

    helm_program: Path
    cluster: Cluster
    home: Path
    """Of helm: it keeps caches and settings."""
    sources: Mapping[str, Path]
    """Of each entry that is there."""


@dataclass(frozen=True, slots=True)
class Hands:
    """The tools for one entry."""

    bench: Bench
    sources: Path

    @property
    def cluster(self) -> Cluster:
        """The tenant."""
        return self.bench.cluster

    def helm(self, *args: str) -> str:
        """What helm prints; AssertionError with its message if it fails."""
        bench = self.bench
        own = {"KUBECONFIG": str(bench.cluster.kubeconfig), "HOME": str(bench.home)}
        done = subprocess.run(
            [str(bench.helm_program), *args],
            env={"PATH": os.environ["PATH"], **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, f"helm {' '.join(args)}: {done.stderr}{done.stdout}"
        return done.stdout


def run(bench: Bench, entry: Entry, needed: Sequence[Entry], log: Path) -> Result:
    """Try it. What it waits for is printed; what was there when it failed goes to ``log``."""
    started, reasons = time.monotonic(), []
    before = _lasting(bench.cluster)
    order = (*needed, entry)
    try:
        for one in order:
            _say(entry, f"install {one.name}")
            one.installation.install(Hands(bench, bench.sources[one.name]))
        for step in entry.steps:
            _say(entry, str(step))
            step.run(Hands(bench, bench.sources[entry.name]))
    except FAILURES as error:
        reasons.append(str(error))
        log.write_text(f"{error}\n\n{_state(bench.cluster)}")
    _say(entry, "remove")
    reasons += filter(None, (_attempt(undo) for undo in _undoing(bench, entry, order, before)))
    seconds = time.monotonic() - started
    _say(entry, "failed: " + "; ".join(reasons) if reasons else "passed")
    return Result.of(entry, seconds, "; ".join(reasons))


def _undoing(
    bench: Bench, entry: Entry, order: Sequence[Entry], before: set[str]
) -> Sequence[Callable[[], None]]:
    """One after the other, whether or not those before it succeed."""

    def delete(file: str) -> Callable[[], None]:
        return lambda: _delete(bench.cluster, file)

    def remove(one: Entry) -> Callable[[], None]:
        return lambda: one.installation.remove(Hands(bench, bench.sources[one.name]))

    return (
        *(delete(file) for file in reversed(entry.objects)),
        *(remove(one) for one in reversed(order)),
        lambda: _sweep(bench.cluster, before),
    )


def _attempt(undo: Callable[[], None]) -> str:
    try:
        undo()
    except FAILURES as error:
        return str(error)
    return ""


def _delete(cluster: Cluster, file: str) -> None:
    """A kind that is not known any more has no objects."""
    done = cluster.run("delete", "-f", str(MANIFESTS / file), *GONE)
    assert not done.returncode or "no matches for kind" in done.stderr, done.stderr


def _lasting(cluster: Cluster) -> set[str]:
    return set(cluster.kubectl("get", KINDS, "-o", "name").split())


def _sweep(cluster: Cluster, before: set[str]) -> None:
    if left := sorted(_lasting(cluster) - before):
        cluster.kubectl("delete", *left, *GONE)


def _state(cluster: Cluster) -> str:
    looks = (("get", "pods,jobs,deployments", "-A", "-o", "wide"), ("get", "events", "-A"))
    return "\n\n".join(cluster.kubectl(*look, check=False) for look in looks)


def _say(entry: Entry, what: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S} {entry.name}: {what}", flush=True)
