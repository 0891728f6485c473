"""A real super cluster for tests: etcd with TLS and authentication, kube-apiserver, and the rest.

It is what ``vc up`` starts, without our own programs, in a folder of its own.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vcluster.control_plane.cluster import Cluster
from vcluster.local.down import down
from vcluster.local.state import ADDRESS, State
from vcluster.local.up import up

PREFIX = "virtualcluster-test-"


class SuperCluster:
    """A running super cluster, seen as its administrator."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.cluster = Cluster.from_kubeconfig(str(state.super_kubeconfig()))
        self.etcd_endpoint = f"https://{ADDRESS}:{state.ports['etcd']}"

    def kubeconfig(self, identity: str) -> Path:
        """The kubeconfig file of an identity: admin, operator, syncer."""
        return self.state.super_kubeconfig(identity)

    def etcdctl(
        self, *arguments: str, certificate: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run etcdctl as its root, or as the owner of another certificate (key beside it)."""
        pki = self.state.etcd_pki
        certificate = certificate or pki / "root.crt"
        return subprocess.run(
            [
                str(self.state.binaries / "etcdctl"),
                f"--endpoints={self.etcd_endpoint}",
                f"--cacert={pki / 'ca.crt'}",
                f"--cert={certificate}",
                f"--key={certificate.with_suffix('.key')}",
                # Its own limits, of 2 and 5 s, are for machines that do nothing else.
                "--dial-timeout=30s",
                "--command-timeout=60s",
                *arguments,
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=90,
        )

    def etcd_names(self, kind: str) -> set[str]:
        """The names of etcd's users or roles."""
        return set(self.etcdctl(kind, "list").stdout.split())

    def etcd_keys(self, prefix: str) -> list[str]:
        """The keys below a prefix."""
        return self.etcdctl("get", prefix, "--prefix", "--keys-only").stdout.split()


@contextmanager
def running_super_cluster() -> Iterator[SuperCluster]:
    """Up while in use; leftovers of killed earlier runs are removed first."""
    remove_leftovers()
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    state = State(directory / "state")
    try:
        up(state, {"services": False, "cpu_nodes": 2, "gpu_nodes": 1}, report=lambda _: None)
        yield SuperCluster(state)
    finally:
        down(state, purge=True)
        shutil.rmtree(directory)


def remove_leftovers() -> None:
    """End what earlier runs left behind that were killed before they could clean up."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        process = directory.name.removeprefix(PREFIX).split("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            down(State(directory / "state"), purge=True)
            shutil.rmtree(directory, ignore_errors=True)
