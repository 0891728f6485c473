"""Build programs from the pinned Go modules: what works where only Go's modules can be reached."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vcluster.binaries.catalog import Program, Project
from vcluster.binaries.progress import INTERVAL, Pace, Report
from vcluster.binaries.settings import Settings
from vcluster.binaries.unavailable import Unavailable

_STOP_TIMEOUT = 10.0
_DOWNLOADING = "go: downloading "


def build(
    project: Project,
    programs: Sequence[Program],
    settings: Settings,
    directory: Path,
    report: Report,
) -> None:
    """Put the programs' files into ``directory``. Raises Unavailable, and may leave some there."""
    search_path = settings.environment.get("PATH", "")
    go = shutil.which("go", path=search_path)
    if go is None:
        raise Unavailable("Go is not installed: there is no program go in PATH")
    packages = [program.package for program in programs]
    work = directory / "work"
    work.mkdir()
    environment = _environment(settings, work)
    names = ", ".join(program.name for program in programs)
    report(f"building {names} {project.version} with {go}; the first time this takes minutes")
    pace = Pace(report)

    def fetched(lines: Sequence[str]) -> str:
        modules = sum(line.startswith(_DOWNLOADING) for line in lines)
        return f"building {project.name}: {modules} modules downloaded ({pace.elapsed})"

    listed = _run([go, "list", "-deps", *packages], project, environment, pace, fetched)
    total = len(_packages(listed))

    def compiled(lines: Sequence[str]) -> str:
        done = len(_packages(lines))
        linked = sum((directory / program.built_name).exists() for program in programs)
        return (
            f"building {project.name}: {done} packages compiled (of at most {total}), "
            f"{linked} of {len(programs)} programs linked ({pace.elapsed})"
        )

    command = [go, "build", "-v", "-trimpath", "-buildvcs=false"]
    command += ["-ldflags", project.linker_flags, "-o", f"{directory}/", *packages]
    _run(command, project, environment, pace, compiled)
    for program in programs:
        (directory / program.built_name).replace(directory / program.name)
    shutil.rmtree(work)
    report(f"built {names} {project.version} in {pace.elapsed}")


def _environment(settings: Settings, work: Path) -> Mapping[str, str]:
    """The user's, but for this machine, from our go.mod alone, and with no litter elsewhere."""
    own = {
        "GOOS": settings.system,
        "GOARCH": settings.architecture,
        "GOWORK": "off",
        "GOTMPDIR": str(work),
        "GO111MODULE": "on",
    }
    flags = f"{settings.environment.get('GOFLAGS', '')} -mod=readonly".strip()
    return {**settings.environment, **own, "GOFLAGS": flags}


def _run(
    command: Sequence[str],
    project: Project,
    environment: Mapping[str, str],
    pace: Pace,
    line: Callable[[Sequence[str]], str],
) -> Sequence[str]:
    """Run Go, telling how far it is; what it printed. Raises Unavailable with Go's last words.

    When we are killed, Go ends at the next line that it wants to print into the broken pipe.
    """
    printed: list[str] = []
    process = subprocess.Popen(
        command,
        cwd=project.module,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: printed.extend(process.stdout or ()), daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            reader.join(timeout=INTERVAL / 5)
            pace.tell(lambda: line(tuple(printed)))
        code = process.wait()
    finally:
        _end(process)
        reader.join()
        process.stdout.close()
    if code != 0:
        messages = [text.strip() for text in printed if " " in text.strip()]
        said = " / ".join(messages[-3:]) or "nothing"
        raise Unavailable(f"'go {command[1]}' failed with exit code {code} and said: {said[:600]}")
    return printed


def _packages(lines: Sequence[str]) -> set[str]:
    """Go prints a package's path alone on its line; everything else it says has spaces."""
    return {line.strip() for line in lines if line.strip() and " " not in line.strip()}


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
