"""What the trials on real nodes can all be told: where things are, and whether the system stays."""

import argparse
import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def parser_of(name: str, description: str | None, programs: str = "") -> argparse.ArgumentParser:
    """The parser of ``python -m tests.NAME``; ``programs``: a folder in our cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtualcluster"
    made = argparse.ArgumentParser(prog=f"python -m tests.{name}", description=description)
    add = made.add_argument
    add("--output", type=Path, default=ROOT / "build" / name, help="where reports go")
    add("--programs", type=Path, default=cache / programs, help="where built programs are kept")
    state = Path(tempfile.gettempdir()) / f"virtualcluster-{name}"
    add("--state-dir", type=Path, default=state, help="of the local system")
    add("--keep", action="store_true", help="leave the system up, for the next run")
    return made
