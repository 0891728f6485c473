"""Processes in other namespaces, and the files that name who holds a namespace."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec

# <sched.h>; Python has them only from 3.12 on.
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


class Holder(msgspec.Struct, frozen=True):
    """A process whose life is that of its namespaces."""

    pid: int
    started: int
    """When it began, in the kernel's ticks: of all processes of that number it is this one."""

    @classmethod
    def of(cls, pid: int) -> "Holder":
        """The living process of that number. Raises ProcessLookupError."""
        try:
            # proc(5): the name, in parentheses, may hold anything; then state (3) and start time (22).
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError as error:
            raise ProcessLookupError(pid) from error
        if fields[0] in ("Z", "X"):
            raise ProcessLookupError(pid)
        return cls(pid, int(fields[19]))

    @classmethod
    def read(cls, path: Path) -> "Holder | None":
        """The holder that a file names, if it lives."""
        try:
            holder = msgspec.json.decode(path.read_bytes(), type=cls)
            return holder if cls.of(holder.pid) == holder else None
        except (OSError, msgspec.MsgspecError):
            return None

    def write(self, path: Path) -> None:
        """Name it in a file, in one step."""
        # Not by vcluster.supervision: what it imports would double the memory of each program here.
        temporary = path.with_name(f".{path.name}.new")
        with open(temporary, "wb", opener=partial(os.open, mode=0o600)) as file:
            file.write(msgspec.json.encode(self))
        temporary.replace(path)

    def namespace(self, kind: str) -> str:
        """The file of one of its namespaces."""
        return f"/proc/{self.pid}/ns/{kind}"


def unshare(flags: int) -> None:
    """Give this process namespaces of its own (a pid namespace: to its children)."""
    _check(_libc.unshare(flags))


def enter(descriptor: int) -> None:
    """Join the namespace of an open file (a pid namespace: with the children yet to come)."""
    _check(_libc.setns(descriptor, 0))


def spawn(action: Callable[[], None], command: Sequence[str] = ()) -> int:
    """Fork; the child dies with us, acts, then becomes ``command``, or ends. The child's number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _become(action, command)
    return child


def _become(action: Callable[[], None], command: Sequence[str]) -> NoReturn:
    """The life of a child; never returns into the code of its parent."""
    code = 1
    try:
        die_with_parent()
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        action()
        if command:
            os.execvp(command[0], list(command))
        code = 0
    except BaseException as error:
        print(f"{command[0] if command else 'child'}: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def die_with_parent() -> None:
    """Be killed when the parent ends, however it does."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def exit_code(status: int) -> int:
    """A wait status as a shell tells it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
