"""Where the local super cluster keeps everything: one folder, by the XDG rules or as told."""

import contextlib
import fcntl
import os
import random
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from vcluster.local.options import Options
from vcluster.local.real_nodes.site import Site
from vcluster.supervision import host

ENVIRONMENT_VARIABLE = "VC_STATE_DIR"
ADDRESS = "127.0.0.1"

PORT_NAMES = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "node-agent",
)
PORTS = range(15000, 32000)
"""Below Linux's range of ephemeral ports, so that no client borrows one while a program restarts."""


class StateError(Exception):
    """The state directory is not ours, or cannot be used."""


class Record(msgspec.Struct):
    """What is remembered between two runs, in ``state.json``."""

    ports: dict[str, int] = {}
    options: Options = Options()
    real_block: int | None = None
    """The block of addresses of the real nodes, once there were any."""
    datastore_ready: bool = False
    """etcd has its users and demands authentication."""
    cluster_ready: bool = False
    """The super cluster has been brought up whole once."""


class State:
    """The paths of one state directory, and what is remembered in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.expanduser().absolute()

    @classmethod
    def find(cls, given: str | Path | None, environment: Mapping[str, str] = os.environ) -> "State":
        """The state directory given, else of $VC_STATE_DIR, else the user's own."""
        if given or (given := environment.get(ENVIRONMENT_VARIABLE, "")):
            return cls(Path(given))
        base = environment.get("XDG_STATE_HOME") or "~/.local/state"
        return cls(Path(base) / "virtualcluster")

    @property
    def supervisor_directory(self) -> Path:
        """Where supervisord of all the programs is, the tenants' too."""
        return self.directory / "supervisor"

    @property
    def logs(self) -> Path:
        """The logs of the super cluster's programs, one ``<component>.log`` each."""
        return self.directory / "logs"

    @property
    def audit_log(self) -> Path:
        """The audit log of the super cluster's API server: JSON lines, level Metadata."""
        return self.logs / "audit.log"

    @property
    def pki(self) -> Path:
        """Certificates and keys of the super cluster; etcd's are in ``etcd`` below."""
        return self.directory / "pki"

    @property
    def etcd_pki(self) -> Path:
        """etcd's authority, and the certificates of its users root and super."""
        return self.pki / "etcd"

    @property
    def node_agent_pki(self) -> Path:
        """The node agents' authority, and the certificate of the one for simulated nodes."""
        return self.pki / "node-agent"

    @property
    def etcd_data(self) -> Path:
        """The datastore's files."""
        return self.directory / "etcd"

    @property
    def tenants(self) -> Path:
        """Where the process provisioner keeps a folder for each tenant, named by its key."""
        return self.directory / "tenants"

    @property
    def configuration(self) -> Path:
        """Files that were rendered from templates."""
        return self.directory / "configuration"

    @property
    def binaries(self) -> Path:
        """The programs, by their plain names."""
        return self.directory / "bin"

    @property
    def ports(self) -> dict[str, int]:
        """The chosen ports by component."""
        return self.read().ports

    def kubeconfig(self, name: str) -> Path:
        """The kubeconfig of an identity in the super cluster: ``admin``, ``operator``, ``syncer``.

        With an existing cluster as super cluster, the person's own file for all of them.
        """
        return self.directory / "kubeconfig" / f"{name}.kubeconfig"

    def super_kubeconfig(self, name: str = "admin") -> Path:
        """As ``kubeconfig``, but the person's own file where an existing cluster is used."""
        given = self.read().options.kubeconfig
        return Path(given) if given else self.kubeconfig(name)

    def site(self) -> Site | None:
        """Where the real nodes are; None while none is wanted or no block is chosen."""
        record = self.read()
        if not record.options.real_nodes or record.real_block is None:
            return None
        return Site(self.directory, record.real_block)

    def port_file(self, service: str) -> Path:
        """Where our services write the port that they serve their health on."""
        return self.directory / f"{service}.port"

    def exists(self) -> bool:
        """Whether something was set up here, even if only half."""
        return self._record_file.exists()

    def read(self) -> Record:
        """What is remembered; the defaults if nothing is. Raises StateError."""
        try:
            return msgspec.json.decode(self._record_file.read_bytes(), type=Record)
        except FileNotFoundError:
            return Record()
        except (OSError, msgspec.MsgspecError) as error:
            msg = f"{self._record_file} cannot be read: {error}"
            raise StateError(msg) from error

    def write(self, record: Record) -> None:
        """Remember, in one step."""
        text = msgspec.json.format(msgspec.json.encode(record), indent=1).decode()
        host.write_private(self._record_file, text + "\n")

    def update(self, **changes: Any) -> Record:
        """Remember the changes. Only while the lock is held."""
        record = msgspec.structs.replace(self.read(), **changes)
        self.write(record)
        return record

    def prepare(self) -> None:
        """Make the folder ours. Raises StateError if it holds what is not ours."""
        if self.exists():
            return
        host.private_directory(self.directory)
        foreign = [path.name for path in self.directory.iterdir() if path.name != "lock"]
        if foreign:
            msg = (
                f"{self.directory} is not empty and was not made by vc up (it holds {foreign[0]!r})"
            )
            raise StateError(msg)
        self.write(Record())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One `vc up` or `vc down` at a time; freed when the process is killed."""
        descriptor = None
        while descriptor is None:
            descriptor = self._lock()
        try:
            yield
        finally:
            os.close(descriptor)

    def _lock(self) -> int | None:
        """The descriptor that holds the lock; None if the folder was deleted meanwhile."""
        if self.directory.is_file():
            msg = f"{self.directory} is a file, but must be a folder"
            raise StateError(msg)
        path = self.directory / "lock"
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            host.private_directory(self.directory)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            os.close(descriptor)
        return None

    def purge(self) -> None:
        """Delete the folder, the record last, so that a killed purge can be repeated."""
        if self.exists():
            for path in self.directory.iterdir():
                if path.name in (self._record_file.name, "lock"):
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            self._record_file.unlink()
        (self.directory / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def choose_ports(self, running: bool) -> dict[str, int]:
        """The remembered ports; new ones where there is none, or where another program took it."""
        known = self.read().ports
        ports: dict[str, int] = {}
        for name in PORT_NAMES:
            port = known.get(name, 0)
            if not port or not (running or _is_free(port)):
                port = _free_port(set(ports.values()) | set(known.values()))
            ports[name] = port
        return ports

    @property
    def _record_file(self) -> Path:
        return self.directory / "state.json"


def _free_port(taken: set[int]) -> int:
    for _ in range(1000):
        port = random.choice(PORTS)
        if port not in taken and _is_free(port):
            return port
    msg = f"no free port between {PORTS.start} and {PORTS.stop - 1}"
    raise StateError(msg)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True
