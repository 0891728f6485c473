"""The local system's etcd, as its administrator."""

import subprocess

from tests.e2e.local_system import LocalSystem
from vcluster.local.state import State


def compact(local: LocalSystem) -> None:
    """Forget all history of the datastore but the newest state."""
    etcdctl(local, "compact", newest_revision(local))


def newest_revision(local: LocalSystem) -> str:
    """That of the last write."""
    status = etcdctl(local, "endpoint", "status", "--write-out=fields")
    revisions = (
        line.split(":")[1] for line in status.splitlines() if line.startswith('"Revision"')
    )
    return next(revisions).strip()


def etcdctl(local: LocalSystem, *args: str) -> str:
    """Run etcdctl as root."""
    state = State(local.state_directory)
    pki = state.etcd_pki
    done = subprocess.run(
        [
            str(state.binaries / "etcdctl"),
            f"--endpoints=https://127.0.0.1:{state.ports['etcd']}",
            f"--cacert={pki / 'ca.crt'}",
            f"--cert={pki / 'root.crt'}",
            f"--key={pki / 'root.key'}",
            # Its own limits, of 2 and 5 s, are for machines that do nothing else.
            "--dial-timeout=30s",
            "--command-timeout=60s",
            *args,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
