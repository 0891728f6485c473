"""Folders, ports and files of process-provisioned control planes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vcluster.provisioners import files
from vcluster.provisioners.process import (
    PORTS,
    PlacementError,
    ProcessProvisioner,
    cores,
    free_port,
)

PARTS = ("kube-apiserver", "kube-controller-manager")


def test_ports_are_chosen_once_and_remembered(tmp_path: Path) -> None:
    first = ProcessProvisioner(tmp_path, tmp_path).place("team-a-1", PARTS)
    again = ProcessProvisioner(tmp_path, tmp_path).place("team-a-1", PARTS)
    assert again == first
    assert set(first.ports.values()) <= set(PORTS)


def test_tenants_share_no_port(tmp_path: Path) -> None:
    provisioner = ProcessProvisioner(tmp_path, tmp_path)
    places = [provisioner.place(f"team-{number}", PARTS) for number in range(20)]
    ports = [port for place in places for port in place.ports.values()]
    assert len(set(ports)) == len(ports)


def test_a_port_in_use_is_passed_over() -> None:
    port = free_port("seed", ())
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert free_port("seed", ()) != port


def test_no_port_left_is_said() -> None:
    with pytest.raises(PlacementError, match="no free port between"):
        free_port("seed", PORTS)


def test_half_a_port_file_is_as_good_as_none(tmp_path: Path) -> None:
    provisioner = ProcessProvisioner(tmp_path, tmp_path)
    place = provisioner.place("team-a-1", PARTS)
    (place.directory / "ports.json").write_text('{"kube-api')
    assert set(provisioner.place("team-a-1", PARTS).ports) == set(PARTS)


def test_files_are_ours_alone_and_written_only_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "pki" / "ca.key"
    assert files.write(path, b"one")
    assert not files.write(path, b"one")
    assert files.write(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [found.name for found in path.parent.iterdir()] == ["ca.key"]


def test_a_full_disk_is_said_and_not_filled_any_further(tmp_path: Path) -> None:
    path = tmp_path / "pki" / "ca.key"
    files.write(path, b"one")
    program = (
        "import resource, sys; from pathlib import Path; from vcluster.provisioners import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2, 2))\n"
        "try: files.write(Path(sys.argv[1]), b'a longer one')\n"
        "except OSError: sys.exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 7
    assert path.read_bytes() == b"one"
    assert [found.name for found in path.parent.iterdir()] == ["ca.key"]


@pytest.mark.parametrize(("usable", "taken"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_a_tenants_programs_leave_half_of_the_cores_to_others(
    monkeypatch: pytest.MonkeyPatch, usable: int, taken: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(usable)), raising=False)
    assert cores() == taken
