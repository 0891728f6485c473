"""Obtain the programs that are nowhere: by download, else by a build; into the cache, by version."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from vcluster.binaries.build import build
from vcluster.binaries.catalog import PROJECTS, Program, Project
from vcluster.binaries.download import download
from vcluster.binaries.find import Located, Source, cache_directory, is_program, locate_in
from vcluster.binaries.lock import locked
from vcluster.binaries.progress import Report
from vcluster.binaries.settings import FOLDER_VARIABLE, BinariesError, Settings
from vcluster.binaries.unavailable import Unavailable
from vcluster.binaries.version import Unknown, ask

Way = Callable[[Project, Sequence[Program], Settings, Path, Report], None]
"""Puts the files of programs into a folder, or raises Unavailable."""
Ways = Sequence[tuple[str, Way]]
"""By what people call them, in the order in which they are tried."""

HINT = (
    "install Go 1.26 or newer and let it reach its modules; or put the programs into a folder "
    f"and name it with 'vc binaries get --from FOLDER' or {FOLDER_VARIABLE}=FOLDER"
)


def ensure(
    names: Iterable[str], report: Report, folder: Path | None = None, *, keep: bool = False
) -> dict[str, Path]:
    """The path of each program, by its name; obtains what is missing, telling ``report``.

    With ``keep``, programs of the right version are copied from the user's folder into the cache,
    so that the folder is not needed again. Raises BinariesError when some cannot be had; what
    could be had is then in the cache all the same.
    """
    return ensure_in(Settings.from_environment(os.environ, folder), names, report, keep=keep)


def ensure_in(
    settings: Settings,
    names: Iterable[str],
    report: Report,
    projects: Sequence[Project] = PROJECTS,
    *,
    keep: bool = False,
) -> dict[str, Path]:
    """The same with given settings and catalogue."""
    found = locate_in(settings, names, projects)
    paths = {name: place.path for name, place in found.items() if place.path}
    failures = []
    for project in projects:
        programs = project.select(found.keys() - paths.keys())
        try:
            if keep:
                _obtain(project, _to_keep(project, found), settings, report, _COPY)
            if programs:
                _obtain(project, programs, settings, report, _WAYS)
        except Unavailable as error:
            failures.append(_explained(project, programs, found, str(error)))
        cache = cache_directory(settings, project)
        paths |= {program.name: cache / program.name for program in programs}
    if failures:
        raise BinariesError("\n".join(failures), HINT)
    return {name: paths[name] for name in found}


def _obtain(
    project: Project,
    programs: Sequence[Program],
    settings: Settings,
    report: Report,
    ways: Ways,
) -> None:
    """Put programs into the cache, by the first way that works. Raises Unavailable with all reasons."""
    cache = cache_directory(settings, project)
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = cache.with_name(f".{cache.name}.lock")
        with locked(lock, f"{project.name} {project.version}", report):
            absent = [program for program in programs if not is_program(cache / program.name)]
            _remove_leftovers(cache)
            if absent:
                _try_all(project, absent, settings, report, ways)
    except OSError as error:
        msg = f"the cache {cache} cannot be written: {error.strerror or error}"
        raise Unavailable(msg) from error


def _try_all(
    project: Project,
    programs: Sequence[Program],
    settings: Settings,
    report: Report,
    ways: Ways,
) -> None:
    reasons = []
    cache = cache_directory(settings, project)
    for way, attempt in ways:
        work = Path(tempfile.mkdtemp(prefix=_prefix(cache), dir=cache.parent))
        try:
            attempt(project, programs, settings, work, report)
            _publish(project, programs, work, cache)
        except Unavailable as error:
            reasons.append(f"{way}: {error}")
            report(f"{project.name} {project.version}: no {way}: {error}")
        else:
            return
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise Unavailable("\n".join(reasons))


def _publish(project: Project, programs: Sequence[Program], work: Path, cache: Path) -> None:
    """Move programs that answer with the right version into the cache, each in one step."""
    for program in programs:
        file = work / program.name
        try:
            version = ask(program, file, timeout=30.0)
        except Unknown as error:
            raise Unavailable(f"the program {program.name} is unusable: {error}") from error
        if version != project.version:
            raise Unavailable(f"the program {program.name} is {version}, not {project.version}")
    for program in programs:
        with (work / program.name).open("rb") as file_object:
            os.fsync(file_object)  # else a power cut may leave an empty file of the final name
        (work / program.name).replace(cache / program.name)


def _copy(
    project: Project,
    programs: Sequence[Program],
    settings: Settings,
    directory: Path,
    report: Report,
) -> None:
    assert settings.folder is not None
    for program in programs:
        report(f"copying {program.name} {project.version} from {settings.folder}")
        shutil.copyfile(settings.folder / program.name, directory / program.name)
        (directory / program.name).chmod(0o755)


_COPY: Ways = (("copy", _copy),)
_WAYS: Ways = (("download", download), ("build", build))


def _to_keep(project: Project, found: Mapping[str, Located]) -> Sequence[Program]:
    return project.select(
        name
        for name, place in found.items()
        if place.source is Source.FOLDER and place.version == project.version
    )


def _explained(
    project: Project, programs: Sequence[Program], found: Mapping[str, Located], reasons: str
) -> str:
    names = [program.name for program in programs]
    passed_over = [f"found: {reason}" for name in names for reason in found[name].passed_over]
    lines = [*passed_over, *reasons.splitlines()]
    head = f"{', '.join(names)} {project.version} could not be obtained:"
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _prefix(cache: Path) -> str:
    return f".{cache.name}.partial-"


def _remove_leftovers(cache: Path) -> None:
    """Of runs that were killed: whoever holds the lock knows that nobody is at work in them."""
    for leftover in cache.parent.glob(f"{_prefix(cache)}*"):
        shutil.rmtree(leftover, ignore_errors=True)
