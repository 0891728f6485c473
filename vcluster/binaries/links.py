"""One folder that holds all programs by their names."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path


def assemble(directory: Path, programs: Mapping[str, Path]) -> None:
    """Make ``directory/<name>`` a link to each program; other entries stay.

    A link is replaced in one step, so whoever starts a program meanwhile gets the old or the new
    one. Changes nothing when all is right; safe to run twice at once, and to kill.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for name, program in programs.items():
            link, target = directory / name, program.absolute()
            temporary = directory / f".{name}.new"
            temporary.unlink(missing_ok=True)
            if not (link.is_symlink() and link.readlink() == target):
                temporary.symlink_to(target)
                temporary.replace(link)
    finally:
        os.close(descriptor)
