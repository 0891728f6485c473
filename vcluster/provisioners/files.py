"""Files that survive a kill at any instant: written whole or not at all, readable by us only."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

DIRECTORY_MODE = 0o700


def make_directory(path: Path) -> None:
    """The folder and its parents; those that are created are ours only."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(DIRECTORY_MODE, exist_ok=True)


def write(path: Path, data: bytes) -> bool:
    """Make the file hold ``data``, mode 0600; whether that was a change."""
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        make_directory(path.parent)
    with NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except OSError:  # the disk is full, say: the next try must not find it fuller
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)
    return True
