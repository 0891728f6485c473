"""``vc binaries``, run as people run it, against a server that holds stand-ins for the releases."""

import json
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.binaries.builders import a_script, an_archive, install, sha256
from tests.unit.binaries.release_server import ReleaseServer

TIMEOUT = 60
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
KUBERNETES = f"release/v1.37.2/bin/{platform.system().lower()}/{ARCHITECTURE}"
ETCD = f"v3.7.3/etcd-v3.7.3-{platform.system().lower()}-{ARCHITECTURE}.tar.gz"
KWOK = f"v0.8.0/kwok-{platform.system().lower()}-{ARCHITECTURE}"

ANSWERS = {
    "kube-apiserver": "Kubernetes v1.37.2",
    "kube-controller-manager": "Kubernetes v1.37.2",
    "kube-scheduler": "Kubernetes v1.37.2",
    "kubectl": "Client Version: v1.37.2",
    "etcd": "etcd Version: 3.7.3",
    "etcdctl": "etcdctl version: 3.7.3",
    "kwok": "kwok version v0.8.0 go1.26 (linux/amd64)",
}


class Machine:
    """A home and a PATH of its own, a mirror, and pins for what is on the mirror."""

    def __init__(self, directory: Path, server: ReleaseServer) -> None:
        self.cache = directory / "cache" / "virtualcluster" / "binaries"
        self.path = directory / "path"
        self.path.mkdir()
        self.environment = {
            "HOME": str(directory),
            "PATH": str(self.path),
            "XDG_CACHE_HOME": str(directory / "cache"),
            "VC_BINARIES_MIRROR": server.base,
            "VC_BINARIES_CHECKSUMS": str(directory / "pins.json"),
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }
        pins = {}
        for official, path, content in _releases():
            server.files[path] = content
            pins[official] = sha256(content)
        (directory / "pins.json").write_text(json.dumps(pins))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """``vc`` with these arguments, to its end."""
        return subprocess.run(
            self._command(arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """``vc`` with these arguments, running."""
        with subprocess.Popen(
            self._command(arguments), env=self.environment, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @staticmethod
    def _command(arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-c", "from vcluster.cli import main; main()", *arguments]


def _releases() -> Iterator[tuple[str, str, bytes]]:
    scripts = {name: a_script(answer, padding=100_000) for name, answer in ANSWERS.items()}
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"):
        path = f"{KUBERNETES}/{name}"
        yield f"https://dl.k8s.io/{path}", f"/kubernetes/{path}", scripts[name]
    archive = an_archive({f"etcd/{name}": scripts[name] for name in ("etcd", "etcdctl")})
    yield f"https://github.com/etcd-io/etcd/releases/download/{ETCD}", f"/etcd/{ETCD}", archive
    base = "https://github.com/kubernetes-sigs/kwok/releases/download"
    yield f"{base}/{KWOK}", f"/kwok/{KWOK}", scripts["kwok"]


@pytest.fixture
def machine(tmp_path: Path, server: ReleaseServer) -> Machine:
    return Machine(tmp_path, server)


def programs_in(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()} - {
        path.name for path in directory.glob(".*.lock")
    }


def test_get_downloads_all_programs_and_the_list_then_shows_them(machine: Machine) -> None:
    before = json.loads(machine.run("binaries", "-o", "json").stdout)
    assert {row["program"]: row["where"] for row in before} == dict.fromkeys(ANSWERS, "missing")
    got = machine.run("binaries", "get")
    assert got.returncode == 0, got.stderr
    after = json.loads(machine.run("binaries", "-o", "json").stdout)
    assert {row["program"]: row["where"] for row in after} == dict.fromkeys(ANSWERS, "cache")
    assert all(machine.cache in Path(row["path"]).parents for row in after)
    assert not list(machine.cache.glob(".*partial*"))


def test_get_again_asks_nothing_of_the_network(machine: Machine, server: ReleaseServer) -> None:
    machine.run("binaries", "get")
    server.requests.clear()
    assert machine.run("binaries", "get").returncode == 0
    assert not server.requests


def test_no_go_and_no_network_is_one_clear_message(machine: Machine, server: ReleaseServer) -> None:
    machine.environment["VC_BINARIES_MIRROR"] = "http://127.0.0.1:1"
    wrong = install(machine.path, "kubectl", a_script("Client Version: v1.30.0"))
    result = machine.run("binaries", "get")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "could not be obtained" in result.stderr
    assert f"{wrong} is v1.30.0, not v1.37.2" in result.stderr
    assert "download: http://127.0.0.1:1/kubernetes/" in result.stderr
    assert "build: Go is not installed" in result.stderr
    assert "Hint:" in result.stderr
    assert "--from" in result.stderr
    assert not server.requests


def test_a_wrong_checksum_is_said_and_the_next_way_is_tried(
    machine: Machine, server: ReleaseServer
) -> None:
    server.files[f"/kwok/{KWOK}"] = a_script("kwok version v0.8.0")
    result = machine.run("binaries", "get")
    assert result.returncode == 1
    assert "is pinned: not used" in result.stderr
    assert "build: Go is not installed" in result.stderr
    # What could be had is there.
    assert programs_in(machine.cache) == set(ANSWERS) - {"kwok"}


def test_programs_are_kept_from_a_folder(
    machine: Machine, server: ReleaseServer, tmp_path: Path
) -> None:
    for name, answer in ANSWERS.items():
        install(tmp_path / "folder", name, a_script(answer))
    result = machine.run("binaries", "get", "--from", str(tmp_path / "folder"))
    assert result.returncode == 0, result.stderr
    assert programs_in(machine.cache) == set(ANSWERS)
    assert not server.requests


def test_a_cache_that_cannot_be_written_is_said(machine: Machine) -> None:
    machine.cache.parent.mkdir(parents=True)
    machine.cache.write_text("a file in the place of the folder")
    result = machine.run("binaries", "get")
    assert result.returncode == 1
    assert f"the cache {machine.cache}" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_killed_run_leaves_no_half_file_and_the_next_one_cleans_up(
    machine: Machine, server: ReleaseServer
) -> None:
    server.hold.clear()
    with machine.start("binaries", "get") as process:
        assert server.held.wait(TIMEOUT), "the download did not begin"
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT)
    leftovers = list(machine.cache.glob(".kubernetes-*.partial-*"))
    assert len(leftovers) == 1
    assert not programs_in(machine.cache) & set(ANSWERS) - programs_in(leftovers[0])
    server.hold.set()
    assert machine.run("binaries", "get").returncode == 0
    assert programs_in(machine.cache) == set(ANSWERS)
    assert not list(machine.cache.glob(".*partial*"))


def test_two_at_once_download_once_and_the_second_says_that_it_waits(
    machine: Machine, server: ReleaseServer
) -> None:
    server.hold.clear()
    with machine.start("binaries", "get") as first:
        assert server.held.wait(TIMEOUT), "the download did not begin"
        with machine.start("binaries", "get") as second:
            assert second.stderr is not None
            assert first.stderr is not None
            assert f"process {first.pid} is at it already" in second.stderr.readline()
            server.hold.set()
            first.stderr.read()
            second.stderr.read()
            assert (first.wait(TIMEOUT), second.wait(TIMEOUT)) == (0, 0)
    assert programs_in(machine.cache) == set(ANSWERS)
    assert set(server.requests.values()) == {1}
