"""The provisioner ``process``: a tenant's control plane as supervised processes of this machine.

They belong to a supervisor of their own, so they outlive the operator.
"""

import os
import shutil
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from vcluster.provisioners import files
from vcluster.provisioners.workload import Placement, Workload
from vcluster.supervision import ProcessStatus, Program, Supervisor

ADDRESS = "127.0.0.1"
PORTS = range(61000, 65500)
"""Above Linux's default range of ephemeral ports, so that no client borrows one meanwhile."""
PORTS_FILE = "ports.json"
NICENESS = 5
"""Where CPU is short, what all tenants share (API server, datastore, syncer) gets three times the share
of one tenant's program: a tenant that keeps its own API server busy does not slow the others' pods."""


def cores() -> int:
    """On how many cores at once a tenant's program runs Go code: half of those that there are.

    However busy a tenant keeps its own API server, the other half is left to all others. Besides, a pod
    costs an API server less CPU on one core than on two (docs/performance.md).
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (usable or 1) // 2)


class PlacementError(Exception):
    """There is no place for a control plane here."""


class ProcessProvisioner:
    """Runs control planes below one folder, with programs from another. Safe to use from threads."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self._directory = directory / "tenants"
        self._binaries = binaries
        self._supervisor = Supervisor(directory=directory / "supervisor")
        self._placing = threading.Lock()

    def place(self, key: str, components: Iterable[str]) -> Placement:
        """The tenant's folder and ports: chosen once, then remembered in the folder."""
        directory = self._directory / key
        files.make_directory(directory)
        with self._placing:
            ports = self._ports(directory)
            missing = [name for name in components if name not in ports]
            if missing:
                taken = {
                    port
                    for other in self._directory.iterdir()
                    for port in self._ports(other).values()
                }
                for name in missing:
                    ports[name] = free_port(f"{key}/{name}", taken)
                    taken.add(ports[name])
                files.write(directory / PORTS_FILE, msgspec.json.encode(ports))
        return Placement(directory, ADDRESS, ports)

    def saved(self, key: str) -> Mapping[str, bytes]:
        """The small files below the tenant's folder, by relative path: a backup of its keys."""
        directory = self._directory / key / "pki"
        if not directory.is_dir():
            return {}
        return {f"pki/{path.name}": path.read_bytes() for path in directory.iterdir()}

    def save(self, key: str, content: Mapping[str, bytes]) -> None:
        """Write files that no program needs, but ``saved`` gives back."""
        for name, data in content.items():
            files.write(self._directory / key / name, data)

    def put(self, key: str, name: str, data: bytes) -> None:
        """Replace a file that a program of the tenant reads while it runs; nothing if it is gone."""
        directory = self._directory / key
        if directory.is_dir():
            files.write(directory / name, data)

    def run(self, key: str, placement: Placement, workloads: Sequence[Workload]) -> bool:
        """Run exactly these programs; whether that changed anything (first start, restart)."""
        for workload in workloads:
            for name, data in workload.files.items():
                files.write(placement.directory / name, data)
        programs = [self._program(placement, workload) for workload in workloads]
        self._supervisor.start()
        return self._supervisor.apply(key, programs)

    def statuses(self, key: str) -> Sequence[ProcessStatus]:
        """How the tenant's programs stand."""
        return self._supervisor.statuses(key)

    def remove(self, key: str) -> None:
        """Stop the tenant's programs and delete its folder. Done again, it changes nothing."""
        self._supervisor.remove(key)
        directory = self._directory / key
        if directory.exists():
            shutil.rmtree(directory)

    def keys(self) -> list[str]:
        """The tenants that have a folder here."""
        if not self._directory.is_dir():
            return []
        return sorted(path.name for path in self._directory.iterdir())

    def _program(self, placement: Placement, workload: Workload) -> Program:
        log_file = placement.directory / "logs" / f"{workload.name}.log"
        files.make_directory(log_file.parent)
        return Program(
            name=workload.name,
            command=(str(self._binaries / workload.program), *workload.arguments),
            log_file=log_file,
            directory=placement.directory,
            environment={
                **workload.environment,
                "GOMAXPROCS": str(cores()),
                "VC_FILES": digest(workload.restarted_by),
            },
            stop_seconds=workload.stop_seconds,
            niceness=NICENESS,
        )

    @staticmethod
    def _ports(directory: Path) -> dict[str, int]:
        try:
            return msgspec.json.decode((directory / PORTS_FILE).read_bytes(), type=dict[str, int])
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return {}


def digest(content: Mapping[str, bytes]) -> str:
    """Changes when, and only when, a file does; tells nothing of what is in them."""
    total = sha256()
    for name in sorted(content):
        total.update(name.encode() + b"\0" + sha256(content[name]).digest())
    return total.hexdigest()[:16]


def free_port(seed: str, taken: Iterable[int]) -> int:
    """A port that nobody here listens on. Raises PlacementError if there is none."""
    first = int.from_bytes(sha256(seed.encode()).digest()[:4]) % len(PORTS)
    unusable = set(taken)
    for offset in range(len(PORTS)):
        port = PORTS[(first + offset) % len(PORTS)]
        if port not in unusable and _bindable(port):
            return port
    raise PlacementError(f"no free port between {PORTS.start} and {PORTS.stop - 1}")


def _bindable(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True
