"""What supervision does on the host: files, locks, the socket's place, the daemon's processes."""

import configparser
import contextlib
import fcntl
import os
import re
import stat
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from vcluster.supervision.program import MARK, inherited

LOG = "supervisord.log"
CONFIGURATION = "supervisord.conf"
SOCKET = "supervisor.sock"
DAEMON_MODULE = "vcluster.supervision.daemon"
LOCKS = 64
MAX_SOCKET_PATH = 90
"""A unix socket's path may have 107 bytes; supervisord adds its pid to it for a moment."""

_TEMPLATE = """\
[unix_http_server]
file={socket}
chmod=0600
[supervisord]
logfile={directory}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={directory}/supervisord.pid
directory={directory}
umask=077
nodaemon=false
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[rpcinterface:virtualcluster]
supervisor.rpcinterface_factory=vcluster.supervision.backoff:make_interface
[include]
files=conf.d/*.conf
"""


def private_directory(path: Path) -> None:
    """Make a folder, and those above it that are missing, for our eyes only."""
    if not path.is_dir():
        private_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, mode 0600; nothing if it holds just this."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_text() == text:
            return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{id(text):x}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextlib.contextmanager
def locked(directory: Path, name: str) -> Iterator[None]:
    """Hold the lock of a name, against other threads and processes; freed when we are killed.

    The names share a fixed number of files, so that nothing needs cleaning up.
    """
    folder = directory / "locks"
    private_directory(folder)
    number = zlib.crc32(name.encode()) % LOCKS if name != "supervisord" else LOCKS
    descriptor = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sections(path: Path) -> dict[str, int]:
    """The programs that a group's file declares, with supervisord's priorities of them."""
    return {
        name.removeprefix("program:"): section.getint("priority", 0)
        for name, section in _read(path).items()
        if name.startswith("program:")
    }


def longest_stop(groups_directory: Path) -> float:
    """The longest time, in seconds, that any declared program may take to stop."""
    return max(
        (
            section.getfloat("stopwaitsecs", 0.0)
            for path in groups_directory.glob("*.conf")
            for section in _read(path).values()
        ),
        default=0.0,
    )


def _read(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(path)
    return parser


def socket_path(directory: Path) -> Path:
    """Where supervisord of this folder listens, as its configuration says."""
    text = ""
    with contextlib.suppress(FileNotFoundError):
        text = (directory / CONFIGURATION).read_text()
    # Not by configparser: that costs more than the call that the socket is for.
    found = re.search(r"^file=(.+)$", text, re.MULTILINE)
    return Path(found[1].replace("%%", "%")) if found else directory / SOCKET


def launch(directory: Path) -> None:
    """Write the configuration and start supervisord; returns when it is detached.

    Raises subprocess.CalledProcessError, with what supervisord said, when it refuses to start.
    """
    user = "user=0" if os.getuid() == 0 else ""
    text = _TEMPLATE.format(
        socket=_escaped(_choose_socket(directory)), directory=_escaped(directory), user=user
    )
    write_private(directory / CONFIGURATION, text)
    command = [sys.executable, "-m", DAEMON_MODULE]
    command += ["-c", str(directory / CONFIGURATION)]
    environment = inherited() | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with open(directory / LOG, "a", opener=_private_opener) as log:
        subprocess.run(
            command,
            check=True,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def daemon(directory: Path) -> psutil.Process | None:
    """The living supervisord of this folder, whether it answers or not."""
    try:
        process = psutil.Process(int((directory / "supervisord.pid").read_text()))
        if has_ended(process):
            return None
        # After a restart of the machine the number may be anybody's.
        return process if str(directory / CONFIGURATION) in process.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or only waits to be reaped."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_launched(pid: int) -> bool:
    """Whether a child of supervisord is more than a copy of it: it, or a wrapper, has begun."""
    try:
        return DAEMON_MODULE not in psutil.Process(pid).cmdline()
    except psutil.Error:
        return True


def end_leftovers(directory: Path) -> None:
    """Kill a supervisord that does not answer, and what a killed one left behind."""
    ours = {process.pid for process in psutil.Process().parents()} | {os.getpid()}
    processes = [process for process in _marked(directory) if process.pid not in ours]
    if (supervisord := daemon(directory)) is not None:
        processes.insert(0, supervisord)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def _marked(directory: Path) -> Iterator[psutil.Process]:
    # Not process_iter: it remembers processes by number, and refuses to kill a later one of that number.
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if process.environ().get(MARK) == str(directory):
                yield process


def _choose_socket(directory: Path) -> Path:
    """In the folder itself; if that path is too long, in a private one that was made before."""
    inside = directory / SOCKET
    if len(os.fsencode(inside)) <= MAX_SOCKET_PATH:
        return inside
    known = socket_path(directory).parent
    if known != directory and _is_private(known):
        return known / SOCKET
    return Path(tempfile.mkdtemp(prefix="vc-")) / SOCKET


def _is_private(path: Path) -> bool:
    with contextlib.suppress(OSError):
        found = path.lstat()
        return (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.getuid()
            and not found.st_mode & 0o077
        )
    return False


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
