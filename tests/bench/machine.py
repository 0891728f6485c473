"""Where and with what a run took place."""

import os
import platform
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from vcluster.binaries.catalog import PROJECTS

ROOT = Path(__file__).parents[2]


def describe() -> dict[str, float | int | str | bool | None]:
    """Machine, versions and date, as flat keys."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": f"{os.cpu_count()} cores ({_model()}), {psutil.virtual_memory().total >> 30} GiB, "
        f"{platform.system()} {platform.release()}",
        "load_average_before": round(os.getloadavg()[0], 2),
        "python_version": platform.python_version(),
        **{f"{project.name}_version": project.version for project in PROJECTS},
        "commit": _commit(),
    }


def _model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """The commit that is checked out, with a plus if files differ from it; empty without git."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout.strip()
    return ""
