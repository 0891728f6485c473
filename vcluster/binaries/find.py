"""Where the programs are now: the user's folder, PATH, our cache."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vcluster.binaries.catalog import PROJECTS, Program, Project
from vcluster.binaries.settings import BinariesError, Settings
from vcluster.binaries.version import Unknown, ask


class Source(StrEnum):
    """Where a program was found."""

    FOLDER = "folder"
    PATH = "PATH"
    CACHE = "cache"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A needed program, and where it is, if it is anywhere."""

    name: str
    wanted: str
    """The wanted version."""
    source: Source
    path: Path | None = None
    version: str | None = None
    """The version found; another one than wanted only in a folder that the user named."""
    passed_over: tuple[str, ...] = ()
    """Why files of that name were not taken, one sentence each."""


def locate(names: Iterable[str], folder: Path | None = None) -> dict[str, Located]:
    """Where each of these programs is; what is nowhere has the source MISSING.

    Raises BinariesError for a name that is not in the catalogue and for a folder that is none.
    """
    return locate_in(Settings.from_environment(os.environ, folder), names)


def locate_in(
    settings: Settings, names: Iterable[str], projects: Sequence[Project] = PROJECTS
) -> dict[str, Located]:
    """The same with given settings and catalogue."""
    known = {
        program.name: (project, program) for project in projects for program in project.programs
    }
    wanted = list(names)
    for name in wanted:
        if name not in known:
            msg = f"there is no program {name!r} in the catalogue; it has {', '.join(known)}"
            raise BinariesError(msg)
    with ThreadPoolExecutor() as pool:  # a wrapper that hangs costs seconds
        found = pool.map(lambda name: _locate(settings, *known[name]), wanted)
        return dict(zip(wanted, found, strict=True))


def cache_directory(settings: Settings, project: Project) -> Path:
    """Where programs of this project and version are kept for this machine."""
    name = f"{project.name}-{project.version}-{settings.system}-{settings.architecture}"
    return settings.cache / name


def is_program(path: Path) -> bool:
    """Whether it is a file that we may run."""
    return path.is_file() and os.access(path, os.X_OK)


def _locate(settings: Settings, project: Project, program: Program) -> Located:
    passed_over: list[str] = []

    def located(source: Source, path: Path | None, version: str | None) -> Located:
        return Located(
            name=program.name,
            wanted=project.version,
            source=source,
            path=path,
            version=version,
            passed_over=tuple(passed_over),
        )

    if settings.folder:
        path = settings.folder / program.name
        version = _version(program, path, passed_over)
        if version:  # the user named this very folder, so whatever version it holds is meant
            return located(Source.FOLDER, path, version)
        if not path.exists():
            passed_over.append(f"{settings.folder} holds no {program.name}")
    for path in _distinct(directory / program.name for directory in settings.search_path):
        version = _version(program, path, passed_over)
        if version == project.version:
            return located(Source.PATH, path.absolute(), version)
        if version:
            passed_over.append(f"{path} is {version}, not {project.version}")
    path = cache_directory(settings, project) / program.name
    if is_program(path):  # was asked for its version when it was put there
        return located(Source.CACHE, path, project.version)
    return located(Source.MISSING, None, None)


def _distinct(paths: Iterable[Path]) -> Sequence[Path]:
    """Each file once, by the first of its names: /bin is often a link to /usr/bin."""
    files: dict[Path, Path] = {}
    for path in paths:
        files.setdefault(path.resolve(), path)
    return list(files.values())


def _version(program: Program, path: Path, passed_over: list[str]) -> str | None:
    if not path.exists():
        return None
    if not is_program(path):
        passed_over.append(f"{path} is not executable")
        return None
    try:
        return ask(program, path)
    except Unknown as error:
        passed_over.append(f"{path} is not taken: {error}")
        return None
