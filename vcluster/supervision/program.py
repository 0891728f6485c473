"""What is supervised, as values: a program, how it stands, and its text for supervisord."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

GROUP_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?")
PROGRAM_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

MARK = "VC_SUPERVISOR"
"""In the environment of every supervised process: its supervisor's folder. So leftovers are found."""

START_SECONDS = 5
"""Who ends sooner failed to start and waits with back-off; who ends later is started at once."""
LAST_TO_START = 999
"""supervisord's number of what is started last and stopped first; it counts the other way."""
LOG_BYTES, LOG_BACKUPS = 20 << 20, 2

FOLLOWS = "VC_FOLLOWS"
"""In the environment of a section, from where backoff.py reads it; the process does not get it."""

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PLAIN = re.compile(r"[^A-Za-z0-9_@%+=:,./-]")


@dataclass(frozen=True, slots=True)
class Program:
    """One process that is to run, and to be started again whenever it ends."""

    name: str
    """Unique in its group, for example ``kube-apiserver``."""
    command: tuple[str, ...]
    log_file: Path
    """Standard output and error, rotated by size, mode 0600."""
    directory: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Added to PATH, HOME and LANG, which are all it inherits. Never secrets: it can be listed."""
    stop_seconds: int = 10
    """Between SIGTERM and SIGKILL."""
    priority: int = 0
    """When all start the highest are first, when all stop they are last: what others need."""
    niceness: int = 0
    """0 to 19: how far it stands back where CPU is short, as in nice(1)."""
    follows: str = ""
    """A program of the same group: whenever that one ends, this one is killed, and so begins anew."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """How one program stands."""

    group: str
    name: str
    state: str
    """supervisord's word: RUNNING, STARTING, BACKOFF (waits to be tried again), STOPPED, ..."""
    pid: int
    """0 while there is no process."""
    started: float
    """Seconds since the epoch; 0 if never."""
    restarts: int
    """How often it had to be started again since it was declared or the supervisor started."""
    description: str


def validate(group: str, programs: Sequence[Program]) -> None:
    """Raises ValueError with a sentence for what supervisord could not hold."""
    if not GROUP_NAME.fullmatch(group):
        msg = f"group name {group!r} must match {GROUP_NAME.pattern}"
        raise ValueError(msg)
    names = [program.name for program in programs]
    for program in programs:
        if not PROGRAM_NAME.fullmatch(program.name):
            msg = f"program name {program.name!r} must match {PROGRAM_NAME.pattern}"
            raise ValueError(msg)
        if names.count(program.name) > 1:
            msg = f"program name {program.name!r} is used twice in group {group!r}"
            raise ValueError(msg)
        if not program.command:
            msg = f"program {program.name!r} has an empty command"
            raise ValueError(msg)
        if program.follows and program.follows not in names:
            msg = f"program {program.name!r} follows {program.follows!r}, which is not in {group!r}"
            raise ValueError(msg)
        validate_path(program.log_file)
        if program.directory is not None:
            validate_path(program.directory)


def validate_path(path: Path) -> None:
    """Raises ValueError for a path that supervisord's configuration could not hold."""
    if not path.is_absolute() or re.search(r"[\s*?\[\]]", str(path)):
        msg = f"path {str(path)!r} must be absolute and without white space or any of * ? [ ]"
        raise ValueError(msg)


def section(group: str, name: str) -> str:
    """supervisord's name of a program. Each is a group of its own there, to be changed alone."""
    return f"{group}.{name}"


def split_section(full_name: str) -> tuple[str, str]:
    """Group and name of a section."""
    group, _, name = full_name.rpartition(".")
    return group, name


def render(group: str, programs: Sequence[Program], mark: str) -> str:
    """The file of a group in supervisord's ``conf.d``."""
    return "\n".join(_render(group, program, mark) for program in programs)


def quote(argument: str) -> str:
    """One argument as supervisord's configuration and command splitter both read it back.

    Backslashes rather than quotes: the configuration parser takes `` #`` and `` ;`` for comments
    even inside quotes.
    """
    if "\n" in argument or "\r" in argument or "\0" in argument:
        msg = f"argument {argument!r} must not contain line breaks or NUL"
        raise ValueError(msg)
    if not argument:
        return "''"
    quoted = _PLAIN.sub(lambda match: "\\" + match[0], argument).replace("%", "%%")
    # The parser strips lines, also of white space that is escaped.
    return f"{quoted}''" if argument[-1].isspace() else quoted


def _render(group: str, program: Program, mark: str) -> str:
    environment = inherited() | dict(program.environment) | {MARK: mark}
    words = (*_die_with_parent(), *_standing_back(program.niceness), "/usr/bin/env", "-i")
    words += tuple(f"{name}={value}" for name, value in environment.items())
    lines = {
        "command": " ".join(quote(word) for word in (*words, *program.command)),
        "autostart": "true",
        "autorestart": "true",
        "startsecs": str(START_SECONDS),
        "startretries": str(10**9),
        "stopwaitsecs": str(program.stop_seconds),
        "stopasgroup": "true",
        "killasgroup": "true",
        "priority": str(LAST_TO_START - program.priority),
        "redirect_stderr": "true",
        "stdout_logfile": str(program.log_file).replace("%", "%%"),
        "stdout_logfile_maxbytes": str(LOG_BYTES),
        "stdout_logfile_backups": str(LOG_BACKUPS),
    }
    if program.follows:
        lines["environment"] = f'{FOLLOWS}="{section(group, program.follows)}"'
    if program.directory is not None:
        lines["directory"] = str(program.directory).replace("%", "%%")
    body = "".join(f"{key}={value}\n" for key, value in lines.items())
    return f"[program:{section(group, program.name)}]\n{body}"


def inherited() -> dict[str, str]:
    """The whole environment of a supervised process that asks for nothing more."""
    # Not the caller's PATH: the same program declared from another shell must be the same text.
    return {"PATH": SEARCH_PATH, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


def _die_with_parent() -> tuple[str, ...]:
    """Ends the process when supervisord is killed. Without setpriv the next start cleans up."""
    setpriv = shutil.which("setpriv", path=SEARCH_PATH)
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


def _standing_back(niceness: int) -> tuple[str, ...]:
    """Without nice(1), which every Unix has, it does not."""
    nice = shutil.which("nice", path=SEARCH_PATH) if niceness else None
    return (nice, "-n", str(niceness), "--") if nice else ()
