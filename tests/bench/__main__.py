"""``python -m tests.bench``, called by ``make bench``."""

import asyncio
import sys
from collections.abc import Callable
from time import perf_counter

import msgspec

from kube.errors import ApiError, Unreachable
from tests.bench import machine, node, report
from tests.bench.figures import flatten
from tests.bench.node import RealNode
from tests.bench.options import FULL, Options, parse
from tests.bench.run import Bench
from tests.bench.system import BenchError, System

RESULT = machine.ROOT / "build" / "bench" / "latest.json"
DOCUMENT = machine.ROOT / "docs" / "performance.md"


def main() -> int:
    """Run; 0 if everything was measured, whatever the figures are."""
    options = parse(sys.argv[1:])
    start = perf_counter()

    def say(text: str) -> None:
        print(f"[{perf_counter() - start:6.1f} s] {text}", flush=True)

    failed = False
    try:
        _run(options, say)
    except* (BenchError, ApiError, Unreachable) as group:
        failed = True
        for error in _leaves(group):
            print(f"bench: {error}", file=sys.stderr)
    return int(failed)


def _run(options: Options, say: Callable[[str], None]) -> None:
    where = machine.describe()
    system = System(options.directory)
    real_node = _real_node(system, options, say)
    say(f"starting the system in {options.directory}")
    with system.held(options.keep, "--pod-start-delay", "0"):
        say("the system is up")
        findings = asyncio.run(Bench(system, options, say).run())
        say("stopping the system")
    findings.real_node = real_node
    figures = where | flatten(findings, options)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    print(f"\n{report.text(figures)}\n\n{RESULT.relative_to(machine.ROOT)} is written", end="")
    if _is_complete(options):
        document = report.merged(
            DOCUMENT.read_text(encoding="utf-8"), report.markdown(figures, options.command)
        )
        DOCUMENT.write_text(document, encoding="utf-8")
        print(f", {DOCUMENT.relative_to(machine.ROOT)} too")
    else:
        print("; a smaller run does not change the document")


def _real_node(system: System, options: Options, say: Callable[[str], None]) -> RealNode:
    if reason := node.possible(system):
        say(f"no real node: {reason}")
        return RealNode(skipped=reason)
    say("starting a system with a real node")
    with system.held(False, *node.UP):
        return asyncio.run(node.run(system, options, say))


def _is_complete(options: Options) -> bool:
    """Whether the loads are at least those that the document is about."""
    sizes = ("pods", "tenants", "paced_rate", "memory_pods")
    return all(getattr(options, name) >= getattr(FULL, name) for name in sizes)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


if __name__ == "__main__":
    sys.exit(main())
