"""A child process with a kubeconfig of its own, which is gone when the child is."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

PREFIX = "vc-connect-"
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)


class CannotRun(Exception):
    """The command cannot be started; ``exit_code`` is what a shell would give."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run(command: Sequence[str], data: bytes, name: str, environment: Mapping[str, str]) -> int:
    """Run a command, or a shell if there is none; its exit code. Raises CannotRun."""
    with private_directory() as (directory, lock):
        file = directory / "kubeconfig"
        file.touch(mode=0o600)
        file.write_bytes(data)
        words, added = (command, {}) if command else shell(name, directory, environment)
        variables = {**environment, **added, "KUBECONFIG": str(file)}
        return _run(words, variables, lock)


def shell(
    name: str, directory: Path, environment: Mapping[str, str]
) -> tuple[Sequence[str], Mapping[str, str]]:
    """The command for the person's shell and its variables, with the tenant in the prompt."""
    program = environment.get("SHELL") or "/bin/sh"
    match Path(program).name:
        case "bash":
            start = directory / "bashrc"
            start.write_text(
                f'[ -r ~/.bashrc ] && . ~/.bashrc\nPS1="({name}) ${{PS1:-\\$ }}"\n',
                encoding="utf-8",
            )
            return (program, "--rcfile", str(start)), {}
        case "zsh":
            home = environment.get("ZDOTDIR") or environment.get("HOME", "/")
            (directory / ".zshrc").write_text(
                f'ZDOTDIR="{home}"\n[ -r "$ZDOTDIR/.zshrc" ] && . "$ZDOTDIR/.zshrc"\n'
                f'PROMPT="({name}) $PROMPT"\n',
                encoding="utf-8",
            )
            return (program,), {"ZDOTDIR": str(directory)}
        case "fish":
            prompt = (
                "functions -c fish_prompt vc_prompt; "
                f"function fish_prompt; echo -n '({name}) '; vc_prompt; end"
            )
            return (program, "-C", prompt), {}
        case _:
            return (program,), {"PS1": f"({name}) $ "}


@contextlib.contextmanager
def private_directory() -> Iterator[tuple[Path, int]]:
    """A directory that only its owner may enter, and a descriptor that keeps it.

    Those that a killed run has left are deleted: nobody has their descriptor open any more.
    """
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    base = base if os.access(base, os.W_OK) else Path(tempfile.gettempdir())
    for left in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            _remove_if_left(left)
    directory, lock = _make_locked(base)
    try:
        yield directory, lock
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _make_locked(base: Path) -> tuple[Path, int]:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        try:
            lock = os.open(directory, os.O_RDONLY)
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another vc may have taken it for one that was left, before we had locked it.
        if directory.exists():
            return directory, lock
        os.close(lock)


def _remove_if_left(directory: Path) -> None:
    if directory.is_symlink() or directory.stat().st_uid != os.getuid():
        return
    lock = os.open(directory, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
    finally:
        os.close(lock)


def _run(words: Sequence[str], environment: Mapping[str, str], lock: int) -> int:
    path = shutil.which(words[0], path=environment.get("PATH"))
    if path is None:
        raise CannotRun(f"there is no program {words[0]!r}", 127)
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if child is None:  # it may run already, and is not yet known here
            early.append(number)
        else:
            child.send_signal(number)

    # The terminal sends Ctrl-C to the child too: it decides; we only clean up behind it.
    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda number, frame: None)
    before[signal.SIGQUIT] = signal.signal(signal.SIGQUIT, lambda number, frame: None)
    try:
        sys.stdout.flush()
        # The child keeps the lock as well, so that its file stays even if we are killed.
        child = subprocess.Popen([path, *words[1:]], env=dict(environment), pass_fds=(lock,))
        for number in early:
            child.send_signal(number)
        code = child.wait()
    except OSError as error:
        raise CannotRun(f"{words[0]!r} cannot be run: {error.strerror}", 126) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code
