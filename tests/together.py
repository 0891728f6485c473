"""`python -m tests.together FOLDER…`: the tests of each folder in a pytest of its own, two at a time.

Tests of whole systems mostly wait: one folder leaves half of two cores idle. A system ends with the tests of
its folder, and who has ended takes the next folder: long ones come first, those of small tests last. A line
of output is printed when it is whole, behind its folder's name.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from vcluster.local.machine import ENOUGH, INOTIFY

AT_ONCE = 2


def run(folder: str) -> int:
    """Run the tests of one folder to their end; pytest's exit code."""
    command = [sys.executable, "-m", "pytest", folder]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"{Path(folder).name}: {line}", end="", flush=True)
    return process.returncode


@contextmanager
def many_watchers() -> Iterator[None]:
    """Let there be enough for the systems of all folders, if we may; afterwards all is as it was."""
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


def run_all(folders: Sequence[str]) -> dict[str, int]:
    """Pytest's exit code by folder; an interrupt, which all get, ends when they have cleaned up."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs: dict[str, Future[int]] = {folder: pool.submit(run, folder) for folder in folders}
        # Those that are called off are done, but nobody who waits for them is told.
        while left := [one for one in runs.values() if not one.done()]:
            try:
                wait(left)
            except KeyboardInterrupt:
                print("waiting until the tests have cleaned up", flush=True)
                pool.shutdown(wait=False, cancel_futures=True)
    return {folder: one.result() for folder, one in runs.items() if not one.cancelled()}


def main(folders: Sequence[str]) -> int:
    """0 if the tests of all folders ran and passed."""
    with many_watchers():
        codes = run_all(folders)
    for folder, code in codes.items():
        print(f"{folder}: {'passed' if code == 0 else f'failed ({code})'}", flush=True)
    return 0 if folders and len(codes) == len(folders) and not any(codes.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
