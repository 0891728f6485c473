"""Projects from their Go modules: downloaded and verified by Go, copied, and built in the copy.

``go install PACKAGE@VERSION`` refuses modules that have ``replace`` lines, and most operators have.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.charts.model import Module

ENVIRONMENT = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=mod -buildvcs=false"}


def obtain(name: str, module: Module, cache: Path) -> Path:
    """The folder with ``source`` and the programs in ``bin``; the first time this takes minutes.

    Raises CalledProcessError.
    """
    folder = cache / f"{name}-{module.version.removeprefix('v')}"
    source = folder / "source"
    if not source.exists():
        _copy(module, source)
    for program, package in module.programs:
        target = folder / "bin" / program
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            print(f"building {program} {module.version}", flush=True)
            new = target.with_name(f".{program}.new")
            _go("build", "-trimpath", "-ldflags", "-s -w", "-o", str(new), package, cwd=source)
            new.replace(target)
    return folder


def _copy(module: Module, source: Path) -> None:
    source.parent.mkdir(parents=True, exist_ok=True)
    wanted = f"{module.path}@{module.version}"
    # In a folder without a go.mod, so that no other module has a say in it.
    said = json.loads(_go("mod", "download", "-json", wanted, cwd=source.parent))
    new = source.with_name(".source.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(said["Dir"], new)
    for path in (new, *new.rglob("*")):  # Go keeps its own read-only
        path.chmod(path.stat().st_mode | 0o200)
    if module.prepare:
        module.prepare(new)
    new.replace(source)


def _go(*arguments: str, cwd: Path) -> str:
    command = ["go", *arguments]
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(
        command, cwd=cwd, env=environment, check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)  # where `go mod download -json` says why
    done.check_returncode()
    return done.stdout
