"""The local etcd: its users, so that every API server can read and write its own keys only."""

import subprocess
from pathlib import Path

from vcluster.datastore.shared import SharedDatastore
from vcluster.local.credentials import ETCD_USER
from vcluster.local.state import ADDRESS, State

COMMAND_SECONDS = 10
ALREADY = ("already exists", "already granted", "already has the role", "authentication is already")


class EtcdError(Exception):
    """etcd refused or did not answer; with what etcdctl said."""


def answers(state: State, port: int) -> bool:
    """Whether etcd serves requests."""
    try:
        _etcdctl(state, port, "endpoint", "health")
    except EtcdError:
        return False
    return True


def secure(state: State, port: int) -> None:
    """Give etcd its users root and super and make it demand authentication. Repeatable."""
    for command in (
        ("user", "add", "root", "--no-password"),
        ("role", "add", "root"),
        ("user", "grant-role", "root", "root"),
        ("auth", "enable"),
    ):
        _etcdctl(state, port, *command)
    SharedDatastore(
        etcdctl=state.binaries / "etcdctl",
        endpoints=f"https://{ADDRESS}:{port}",
        ca_directory=state.etcd_pki,
    ).ensure(ETCD_USER)


def _etcdctl(state: State, port: int, *arguments: str) -> None:
    pki: Path = state.etcd_pki
    command = [
        str(state.binaries / "etcdctl"),
        f"--endpoints=https://{ADDRESS}:{port}",
        f"--cacert={pki / 'ca.crt'}",
        f"--cert={pki / 'root.crt'}",
        f"--key={pki / 'root.key'}",
        f"--command-timeout={COMMAND_SECONDS}s",
        *arguments,
    ]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=2 * COMMAND_SECONDS,
            env={},
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"etcdctl {' '.join(arguments)}: {error}"
        raise EtcdError(msg) from error
    if done.returncode and not any(word in done.stderr for word in ALREADY):
        msg = f"etcdctl {' '.join(arguments)}: {done.stderr.strip()[-300:]}"
        raise EtcdError(msg)
