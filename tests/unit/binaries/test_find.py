"""Programs are taken from the user's folder, PATH or the cache, and only if they are the right ones."""

import os
import time
from pathlib import Path

import psutil
import pytest

from tests.unit.binaries.builders import TOOL, a_project, a_script, install, settings
from vcluster.binaries import BinariesError, Settings, Source
from vcluster.binaries.find import cache_directory, locate_in
from vcluster.binaries.version import Unknown, ask

RIGHT, WRONG = a_script("tool version v1.2.3"), a_script("tool version v1.2.4")
PROJECT = a_project()


def ends(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_the_users_folder_goes_before_path_and_path_before_the_cache(tmp_path: Path) -> None:
    found = settings(tmp_path, folder=tmp_path / "folder", search_path=[tmp_path / "path"])
    in_cache = install(cache_directory(found, PROJECT), "tool", RIGHT)
    assert locate_in(found, ["tool"], [PROJECT])["tool"].path == in_cache
    on_path = install(tmp_path / "path", "tool", RIGHT)
    assert locate_in(found, ["tool"], [PROJECT])["tool"].path == on_path
    in_folder = install(tmp_path / "folder", "tool", RIGHT)
    assert locate_in(found, ["tool"], [PROJECT])["tool"].path == in_folder


def test_a_wrong_version_on_path_is_passed_over_with_its_reason(tmp_path: Path) -> None:
    wrong = install(tmp_path / "first", "tool", WRONG)
    right = install(tmp_path / "second", "tool", RIGHT)
    path = [tmp_path / "first", tmp_path / "second"]
    place = locate_in(settings(tmp_path, search_path=path), ["tool"], [PROJECT])["tool"]
    assert (place.source, place.path) == (Source.PATH, right)
    assert place.passed_over == (f"{wrong} is v1.2.4, not v1.2.3",)


def test_a_file_reached_by_two_entries_of_path_is_asked_once(tmp_path: Path) -> None:
    install(tmp_path / "bin", "tool", WRONG)
    (tmp_path / "link").symlink_to(tmp_path / "bin")
    path = [tmp_path / "bin", tmp_path / "link"]
    place = locate_in(settings(tmp_path, search_path=path), ["tool"], [PROJECT])["tool"]
    assert len(place.passed_over) == 1


def test_the_users_folder_is_taken_with_any_version(tmp_path: Path) -> None:
    install(tmp_path / "folder", "tool", WRONG)
    found = settings(tmp_path, folder=tmp_path / "folder")
    place = locate_in(found, ["tool"], [PROJECT])["tool"]
    assert (place.source, place.version, place.wanted) == (Source.FOLDER, "v1.2.4", "v1.2.3")


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (b"\x00\x01 not a program", 0o755, "cannot be run"),
        (a_script("something else"), 0o755, "it said 'something else'"),
        (a_script("\x1b[31mred"), 0o755, r"\x1b[31mred"),
        (b"#!/bin/sh\n", 0o755, "it said 'nothing'"),
        (RIGHT, 0o644, "is not executable"),
    ],
)
def test_garbage_is_passed_over_with_its_reason(
    tmp_path: Path, content: bytes, mode: int, reason: str
) -> None:
    install(tmp_path / "path", "tool", content, mode)
    found = settings(tmp_path, search_path=[tmp_path / "path"])
    place = locate_in(found, ["tool"], [PROJECT])["tool"]
    assert place.source is Source.MISSING
    assert reason in place.passed_over[0]


def test_a_wrapper_that_hangs_is_ended_together_with_its_children(tmp_path: Path) -> None:
    script = f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/child\nsleep 600\n"
    path = install(tmp_path, "tool", script.encode())
    started = time.monotonic()
    with pytest.raises(Unknown, match=r"nothing within 3 s"):
        ask(TOOL, path, timeout=3)
    assert time.monotonic() - started < 300
    child = int((tmp_path / "child").read_text())
    assert ends(child, within=60), "the wrapper's child still runs"


def test_a_program_that_never_stops_talking_is_ended(tmp_path: Path) -> None:
    path = install(tmp_path, "tool", b"#!/bin/sh\nwhile :; do echo noise noise noise; done\n")
    with pytest.raises(Unknown, match="it said 'noise noise noise'"):
        ask(TOOL, path, timeout=60)


def test_a_version_is_understood_with_and_without_its_v(tmp_path: Path) -> None:
    path = install(tmp_path, "tool", a_script("tool version 1.2.3 (linux)"))
    assert ask(TOOL, path) == "v1.2.3"


def test_an_unknown_program_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BinariesError, match=r"no program 'kubelett'.* it has tool"):
        locate_in(settings(tmp_path), ["kubelett"], [PROJECT])


def test_the_cache_is_where_xdg_says(tmp_path: Path) -> None:
    named = Settings.from_environment({"XDG_CACHE_HOME": str(tmp_path), "HOME": "/home/me"})
    assert named.cache == tmp_path / "virtualcluster/binaries"
    relative = Settings.from_environment({"XDG_CACHE_HOME": "cache", "HOME": "/home/me"})
    assert relative.cache == Path("/home/me/.cache/virtualcluster/binaries")


def test_a_folder_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BinariesError, match=f"{tmp_path}/none does not exist"):
        Settings.from_environment({"VC_BINARIES": f"{tmp_path}/none"})


@pytest.mark.parametrize("content", ["", "[]", '{"http://x": "abc"}'])
def test_a_bad_file_of_pins_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "pins.json").write_text(content)
    environment = {"VC_BINARIES_CHECKSUMS": f"{tmp_path}/pins.json", "HOME": os.sep}
    with pytest.raises(BinariesError, match=r"VC_BINARIES_CHECKSUMS names .*pins\.json"):
        Settings.from_environment(environment)
