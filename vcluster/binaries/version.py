"""Ask a program for its version, whatever that program really is."""

import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

from vcluster.binaries.catalog import Program

TIMEOUT = 5.0
MAX_ANSWER = 64 * 1024


class Unknown(Exception):
    """The program does not tell its version; the text says what it did instead."""


def ask(program: Program, path: Path, timeout: float = TIMEOUT) -> str:
    """The version that the file at ``path`` says it is, with a leading ``v``.

    Takes at most ``timeout`` seconds and leaves no process behind. Raises Unknown.
    """
    command = (str(path), *program.version_arguments)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that the children of a wrapper end with it
        )
    except OSError as error:
        raise Unknown(f"it cannot be run: {error.strerror}") from error
    with process:
        try:
            answer = _read(process, timeout)
        finally:
            _end(process)
    found = re.search(program.version_pattern, answer)
    if not found:
        first = (answer.strip().splitlines() or ["nothing"])[0]
        raise Unknown(f"asked for its version it said {first[:80]!a}")
    return "v" + found[1].removeprefix("v")


def _read(process: subprocess.Popen[bytes], timeout: float) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    answer = b""
    while len(answer) < MAX_ANSWER:
        remaining = max(deadline - time.monotonic(), 0)
        if not select.select([process.stdout], [], [], remaining)[0]:
            raise Unknown(f"asked for its version it said nothing within {timeout:g} s")
        part = os.read(process.stdout.fileno(), 4096)
        if not part:
            break
        answer += part
    return answer.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    # Not reaped yet, so the group's number cannot belong to anybody else.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
