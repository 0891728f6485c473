"""A release file is used only whole and with the pinned SHA-256."""

from pathlib import Path

import pytest

from tests.unit.binaries.builders import (
    OTHER,
    TOOL,
    a_project,
    a_script,
    an_archive,
    settings,
    sha256,
)
from tests.unit.binaries.release_server import ReleaseServer
from vcluster.binaries.catalog import Project
from vcluster.binaries.download import Patience, download, fetch
from vcluster.binaries.settings import Settings
from vcluster.binaries.unavailable import Unavailable

PATH = "/v1.2.3/linux/amd64/tool"
CONTENT = a_script("tool version v1.2.3", padding=1_000_000)
IMPATIENT = Patience(attempts=4, pause=0.001, timeout=10)


def a_release(
    server: ReleaseServer, directory: Path, digest: str = sha256(CONTENT)
) -> tuple[Project, Settings, list[str]]:
    server.files[PATH] = CONTENT
    project = a_project(base=server.base)
    return project, settings(directory, pins={server.base + PATH: digest}), []


def test_a_good_file_is_executable_and_alone(server: ReleaseServer, tmp_path: Path) -> None:
    project, given, lines = a_release(server, tmp_path)
    download(project, [TOOL], given, tmp_path, lines.append)
    assert (tmp_path / "tool").read_bytes() == CONTENT
    assert (tmp_path / "tool").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["tool"]
    assert any("1.0 MiB" in line and "is right" in line for line in lines)


def test_a_wrong_checksum_is_not_used(server: ReleaseServer, tmp_path: Path) -> None:
    project, given, lines = a_release(server, tmp_path, digest="0" * 64)
    with pytest.raises(Unavailable, match=f"{sha256(CONTENT)}, but {'0' * 64} is pinned: not used"):
        download(project, [TOOL], given, tmp_path, lines.append)
    assert list(tmp_path.iterdir()) == []


def test_without_a_pin_nothing_is_asked_of_the_server(
    server: ReleaseServer, tmp_path: Path
) -> None:
    project, _, lines = a_release(server, tmp_path)
    with pytest.raises(Unavailable, match="no SHA-256 is pinned for http"):
        download(project, [TOOL], settings(tmp_path), tmp_path, lines.append)
    assert not server.requests


def test_a_missing_file_is_not_asked_for_again(server: ReleaseServer, tmp_path: Path) -> None:
    project, given, lines = a_release(server, tmp_path)
    del server.files[PATH]
    with pytest.raises(Unavailable, match="answers 404"):
        download(project, [TOOL], given, tmp_path, lines.append, IMPATIENT)
    assert server.requests[PATH] == 1


def test_a_cut_connection_is_resumed_where_it_ended(server: ReleaseServer, tmp_path: Path) -> None:
    project, given, lines = a_release(server, tmp_path)
    server.cuts = 2
    download(project, [TOOL], given, tmp_path, lines.append, IMPATIENT)
    assert (tmp_path / "tool").read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.ranges == [f"bytes={half}-", f"bytes={half + (len(CONTENT) - half) // 2}-"]
    assert any(f"cut after {half} of {len(CONTENT)} bytes" in line for line in lines)


def test_a_server_without_ranges_sends_it_again_from_the_start(
    server: ReleaseServer, tmp_path: Path
) -> None:
    project, given, lines = a_release(server, tmp_path)
    server.cuts, server.ranges_supported = 1, False
    download(project, [TOOL], given, tmp_path, lines.append, IMPATIENT)
    assert (tmp_path / "tool").read_bytes() == CONTENT


def test_a_connection_that_is_always_cut_is_given_up(server: ReleaseServer, tmp_path: Path) -> None:
    project, given, lines = a_release(server, tmp_path)
    server.cuts = 1000
    with pytest.raises(Unavailable, match="given up after 4 attempts"):
        download(project, [TOOL], given, tmp_path, lines.append, IMPATIENT)
    assert server.requests[PATH] == 4
    assert not (tmp_path / "tool").exists() or (tmp_path / "tool").read_bytes() != CONTENT


def test_a_busy_server_is_asked_again(server: ReleaseServer, tmp_path: Path) -> None:
    project, given, lines = a_release(server, tmp_path)
    server.unavailable = 2
    download(project, [TOOL], given, tmp_path, lines.append, IMPATIENT)
    assert (tmp_path / "tool").read_bytes() == CONTENT


def test_a_silent_server_costs_a_bounded_time(server: ReleaseServer, tmp_path: Path) -> None:
    project, given, lines = a_release(server, tmp_path)
    server.hold.clear()
    patience = Patience(attempts=2, pause=0.001, timeout=0.2)
    with pytest.raises(Unavailable, match="timed out; given up after 2 attempts"):
        download(project, [TOOL], given, tmp_path, lines.append, patience)


def test_no_network_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot be reached: .*refused"):
        fetch("http://127.0.0.1:1/tool", "0" * 64, tmp_path / "tool", print, IMPATIENT)


def test_only_the_programs_are_taken_out_of_an_archive(
    server: ReleaseServer, tmp_path: Path
) -> None:
    files = {"tools/README": b"text", "tools/tool": CONTENT, "../other": b"#!/bin/sh\n"}
    archive = an_archive(files)
    server.files["/tools.tar.gz"] = archive
    project = a_project(
        base=server.base, file="tools.tar.gz", archived=True, programs=[TOOL, OTHER]
    )
    given = settings(tmp_path, pins={f"{server.base}/tools.tar.gz": sha256(archive)})
    work = tmp_path / "work"
    work.mkdir()
    download(project, [TOOL, OTHER], given, work, print)
    assert {path.name for path in tmp_path.rglob("*")} == {"work", "tool", "other"}
    assert (work / "tool").read_bytes() == CONTENT
    assert server.requests["/tools.tar.gz"] == 1


def test_an_archive_without_the_program_is_refused(server: ReleaseServer, tmp_path: Path) -> None:
    archive = an_archive({"README": b"text"})
    server.files["/tools.tar.gz"] = archive
    project = a_project(base=server.base, file="tools.tar.gz", archived=True)
    given = settings(tmp_path, pins={f"{server.base}/tools.tar.gz": sha256(archive)})
    with pytest.raises(Unavailable, match="does not hold tool"):
        download(project, [TOOL], given, tmp_path, print)
