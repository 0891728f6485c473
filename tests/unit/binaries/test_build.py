"""What is pinned in a Go module is built, named as the program and stamped with its version."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.binaries.builders import OTHER, TOOL, a_project, settings
from vcluster.binaries.build import build
from vcluster.binaries.catalog import PROJECTS, Project
from vcluster.binaries.find import Source, cache_directory, locate_in
from vcluster.binaries.obtain import ensure_in
from vcluster.binaries.unavailable import Unavailable

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")

MAIN = """package main
import "os"
var version = "unknown"
func main() { os.Stdout.WriteString("%s version " + version + "\\n") }
"""


def a_module(directory: Path, main: str = MAIN) -> Project:
    for program in (TOOL, OTHER):
        folder = directory / "module" / program.package.removeprefix("example.test/tool/")
        folder.mkdir(parents=True)
        (folder / "main.go").write_text(main.replace("%s", program.name))
    (directory / "module" / "go.mod").write_text("module example.test/tool\n\ngo 1.21\n")
    return a_project(programs=[TOOL, OTHER], module=directory / "module")


def environment(**more: str) -> Mapping[str, str]:
    return {**os.environ, "GOPROXY": "off", **more}


@needs_go
def test_the_programs_of_a_module_are_built_into_the_cache(tmp_path: Path) -> None:
    project = a_module(tmp_path)
    # Of another machine, and of another workspace: neither may change what is built.
    given = settings(tmp_path, environment=environment(GOARCH="arm64", GOWORK="/nonexistent"))
    lines: list[str] = []
    paths = ensure_in(given, ["tool", "other"], lines.append, [project])
    cache = cache_directory(given, project)
    assert paths == {"tool": cache / "tool", "other": cache / "other"}
    places = locate_in(given, ["tool", "other"], [project]).values()
    assert {place.source for place in places} == {Source.CACHE}
    assert {path.name for path in given.cache.iterdir()} == {cache.name, f".{cache.name}.lock"}
    assert {path.name for path in cache.iterdir()} == {"tool", "other"}
    assert any("no SHA-256 is pinned" in line for line in lines)
    assert any(line.startswith("built tool, other v1.2.3 in") for line in lines)


@needs_go
def test_only_what_is_missing_is_built(tmp_path: Path) -> None:
    project = a_module(tmp_path)
    given = settings(tmp_path, environment=environment())
    ensure_in(given, ["other"], print, [project])
    lines: list[str] = []
    ensure_in(given, ["tool", "other"], lines.append, [project])
    assert any(line.startswith("built tool v1.2.3") for line in lines)
    lines.clear()
    ensure_in(given, ["tool", "other"], lines.append, [project])
    assert lines == []


@needs_go
def test_a_failed_build_says_what_go_said(tmp_path: Path) -> None:
    project = a_module(tmp_path, main="package main\nfunc main() { undefined_name() }\n")
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(Unavailable, match=r"'go build' failed .*undefined: undefined_name"):
        build(project, [TOOL], settings(tmp_path, environment=environment()), work, print)


@needs_go
def test_modules_out_of_reach_are_said(tmp_path: Path) -> None:
    project = a_module(tmp_path, main='package main\nimport _ "example.test/absent"\nfunc main(){}')
    with pytest.raises(Unavailable, match=r"'go list' failed .*example\.test/absent"):
        build(project, [TOOL], settings(tmp_path, environment=environment()), tmp_path, print)


def test_without_go_nothing_is_tried(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Go is not installed"):
        build(a_project(), [TOOL], settings(tmp_path), tmp_path, print)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_each_module_pins_the_catalogues_version(project: Project) -> None:
    lines = (project.module / "go.mod").read_text().splitlines()
    pinned = [line.split() for line in lines if line.startswith("\t")]
    for program in project.programs:
        assert any(program.package in line for line in lines if "/" in line), "no tool directive"
        versions = [
            fields[1]
            for fields in pinned
            if len(fields) > 1
            and (program.package == fields[0] or program.package.startswith(f"{fields[0]}/"))
        ]
        assert versions == [project.version]
    assert (project.module / "go.sum").stat().st_size > 0
