"""One etcd for many tenants: each has a user, a role and a prefix of its own.

The user has no password: etcd takes the common name of the client's certificate for it. etcd's JSON
gateway does not, so this drives the etcdctl program.
"""

import subprocess
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kube.connection import Credentials
from vcluster.pki.authority import CertificateAuthority, KeyPair

COMMAND_SECONDS = 5
READ_WRITE = 2


class DatastoreError(Exception):
    """etcd did not do what was asked; says what etcd said."""


@dataclass(frozen=True, slots=True)
class SharedDatastore:
    """An etcd with authentication, reached as its user root."""

    etcdctl: Path
    endpoints: str
    ca_directory: Path
    """Holds ca.crt, ca.key, root.crt, root.key."""

    @property
    def authority(self) -> CertificateAuthority:
        """Signs the tenants' client certificates. Raises DatastoreError if it cannot be read."""
        try:
            return CertificateAuthority(
                KeyPair(
                    (self.ca_directory / "ca.crt").read_bytes(),
                    (self.ca_directory / "ca.key").read_bytes(),
                )
            )
        except OSError as error:
            raise DatastoreError(f"cannot read etcd's authority: {error}") from error

    def credentials(self) -> list[Credentials]:
        """Of the user root, for each endpoint. Raises OSError."""
        authority, certificate, key = (
            (self.ca_directory / name).read_bytes() for name in ("ca.crt", "root.crt", "root.key")
        )
        return [
            Credentials(server=endpoint.strip(), ca=authority, certificate=certificate, key=key)
            for endpoint in self.endpoints.split(",")
        ]

    def ensure(self, key: str) -> None:
        """Give the tenant its user and role, with exactly the permission on its own prefix."""
        permission = self._role(key)
        if permission is None:
            self._run("role", "add", key)
        wanted = (READ_WRITE, prefix(key), prefix_end(key))
        granted = permission or []
        for kind, start, end in granted:
            if (kind, start, end) != wanted:
                self._run("role", "revoke-permission", key, *_range(start, end))
        if wanted not in granted:
            self._run("role", "grant-permission", key, "readwrite", prefix(key), "--prefix")
        roles = self._user(key)
        if roles is None:
            self._run("user", "add", key, "--no-password")
        for role in roles or []:
            if role != key:
                self._run("user", "revoke-role", key, role)
        if key not in (roles or []):
            self._run("user", "grant-role", key, key)

    def remove(self, key: str) -> None:
        """Remove user, role and every object of the tenant. Done again, it changes nothing."""
        if self._user(key) is not None:
            self._run("user", "delete", key)
        self._run("del", prefix(key), "--prefix")
        if self._role(key) is not None:
            self._run("role", "delete", key)

    def _role(self, key: str) -> list[tuple[int, str, str]] | None:
        found = self._ask("role", "get", key, absent="role name not found")
        if found is None:
            return None
        return [
            (
                permission.get("permType", 0),
                b64decode(permission.get("key", "")).decode(errors="replace"),
                b64decode(permission.get("range_end", "")).decode(errors="replace"),
            )
            for permission in found.get("perm") or []
        ]

    def _user(self, key: str) -> list[str] | None:
        found = self._ask("user", "get", key, absent="user name not found")
        return None if found is None else list(found.get("roles") or [])

    def _ask(self, *arguments: str, absent: str) -> dict[str, Any] | None:
        try:
            return self._run(*arguments)
        except DatastoreError as error:
            if absent in str(error):
                return None
            raise

    def _run(self, *arguments: str) -> dict[str, Any]:
        command = (
            str(self.etcdctl),
            f"--endpoints={self.endpoints}",
            f"--cacert={self.ca_directory / 'ca.crt'}",
            f"--cert={self.ca_directory / 'root.crt'}",
            f"--key={self.ca_directory / 'root.key'}",
            f"--command-timeout={COMMAND_SECONDS}s",
            f"--dial-timeout={COMMAND_SECONDS}s",
            "--write-out=json",
            *arguments,
        )
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
        except subprocess.TimeoutExpired as error:
            raise DatastoreError(f"etcd gave no answer in {2 * COMMAND_SECONDS} s") from error
        except OSError as error:
            raise DatastoreError(f"cannot run etcdctl: {error}") from error
        if done.returncode:
            raise DatastoreError(f"etcd: {arguments[0]} {arguments[1]}: {_error(done.stderr)}")
        return msgspec.json.decode(done.stdout or "{}", type=dict[str, Any])


def prefix(key: str) -> str:
    """Where the objects of the tenant are."""
    return f"/{key}/"


def prefix_end(key: str) -> str:
    """The first key after the prefix, as etcd writes ranges: the last byte plus one."""
    start = prefix(key)
    return start[:-1] + chr(ord(start[-1]) + 1)


def _range(start: str, end: str) -> tuple[str, ...]:
    if end == "\0":
        return (start, "--from-key")
    return (start, end) if end else (start,)


def _error(output: str) -> str:
    """The sentence in etcdctl's output, which may be JSON lines of a log and then the error."""
    lines = [line for line in output.splitlines() if line and not line.startswith("{")]
    return " ".join(lines)[-300:] or output[-300:]
