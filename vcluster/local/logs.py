"""The logs of the local system, by the component's name."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from vcluster.local.state import State

POLL_SECONDS = 0.25
BLOCK = 1 << 16


def log_files(state: State) -> dict[str, Path]:
    """Every log by its component: ``syncer``, or ``<tenant key>/<component>`` for a tenant's."""
    files = {path.stem: path for path in sorted(state.logs.glob("*.log"))}
    for path in sorted((state.directory / "tenants").glob("*/logs/*.log")):
        files[f"{path.parents[1].name}/{path.stem}"] = path
    supervisord = state.supervisor_directory / "supervisord.log"
    if supervisord.exists():
        files["supervisord"] = supervisord
    return files


def tail(path: Path, lines: int) -> bytes:
    """The last lines of a file."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        data = b""
        while position and data.count(b"\n") <= lines:
            step = min(BLOCK, position)
            position = file.seek(position - step)
            data = file.read(step) + data
    return b"".join(data.splitlines(keepends=True)[-lines:]) if lines else b""


def follow(path: Path) -> Iterator[bytes]:
    """What is written from now on, over rotations, until the caller stops asking."""
    file = path.open("rb")
    file.seek(0, os.SEEK_END)
    while True:
        if data := file.read(BLOCK):
            yield data
        elif _rotated(path, file.fileno()):
            file.close()
            file = path.open("rb")
        else:
            time.sleep(POLL_SECONDS)


def _rotated(path: Path, descriptor: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return found.st_ino != ours.st_ino or found.st_size < os.lseek(descriptor, 0, os.SEEK_CUR)
