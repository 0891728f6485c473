"""`python -m tests.together FOLDER… -- FOLDER…`: series of tests at once, each a pytest of its own.

Tests of whole systems mostly wait: one series leaves half of two cores idle. Each has its own systems, in
folders of their own; a line of output is printed when it is whole, behind the number of its series.
"""

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vcluster.local.machine import ENOUGH, INOTIFY


def series(arguments: Sequence[str]) -> list[list[str]]:
    """The arguments of each pytest."""
    parts = itertools.groupby(arguments, lambda word: word == "--")
    return [list(words) for separates, words in parts if not separates]


def run(number: int, arguments: Sequence[str], codes: dict[int, int]) -> None:
    """Run one series to its end, and remember how it ended."""
    command = [sys.executable, "-m", "pytest", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"{number}: {line}", end="", flush=True)
    codes[number] = process.returncode


@contextmanager
def many_watchers() -> Iterator[None]:
    """Let there be enough for the systems of all series, if we may; afterwards all is as it was."""
    try:
        before = INOTIFY.read_text()
        if int(before) < ENOUGH:
            INOTIFY.write_text(str(ENOUGH))
    except OSError:
        yield  # not Linux, or not root: then there are no real nodes, which need them most
        return
    try:
        yield
    finally:
        if int(before) < ENOUGH:
            INOTIFY.write_text(before)


def main(arguments: Sequence[str]) -> int:
    """0 if all series passed; also an interrupt waits until they have cleaned up."""
    codes: dict[int, int] = {}
    threads = [
        threading.Thread(target=run, args=(number, part, codes))
        for number, part in enumerate(series(arguments), 1)
    ]
    with many_watchers():
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                try:
                    thread.join()
                except KeyboardInterrupt:
                    print("waiting until the tests have cleaned up", flush=True)
    for number, code in sorted(codes.items()):
        print(f"{number}: {'passed' if code == 0 else f'failed ({code})'}", flush=True)
    return max(codes.values(), default=2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
