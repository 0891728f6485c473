"""Run the small system programs that set namespaces up."""

import subprocess
from collections.abc import Sequence

SECONDS = 20.0


class CommandError(Exception):
    """A system program failed; what it was and what it said."""


def run(*command: str, stdin: str = "") -> str:
    """What a program prints. Raises CommandError."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise CommandError(f"{' '.join(command)}: {said or f'exit code {done.returncode}'}")
    return done.stdout


def run_in(namespace: str, *command: str, stdin: str = "") -> str:
    """The same in the network namespace of a file. Raises CommandError."""
    return run("nsenter", f"--net={namespace}", "--", *command, stdin=stdin)


def batch(namespace: str, lines: Sequence[str]) -> None:
    """Commands of ip(8), in order, in a network namespace. Raises CommandError."""
    run_in(namespace, "ip", "-batch", "-", stdin="\n".join(lines) + "\n")
