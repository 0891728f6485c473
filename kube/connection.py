"""Where and as whom to connect: kubeconfigs and service accounts, read again when they change.

The official loader is not used: importing it costs every process 0.3 s and 35 MiB. Credentials that
need a helper program (``exec``, ``auth-provider``) are refused; our programs' own kubeconfigs and the
pod's service account never need one.
"""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
import yaml

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class InvalidKubeconfig(Exception):
    """The kubeconfig cannot be used; the message names the field."""


class Credentials(msgspec.Struct, frozen=True):
    """A server and an identity at it. Never logged: ``repr`` shows the server only."""

    server: str
    ca: bytes
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    name: str = ""
    """What the server's certificate must be for, if not the host of ``server``."""

    def __repr__(self) -> str:
        return f"Credentials(server={self.server!r})"

    def ssl_context(self) -> ssl.SSLContext | None:
        """A context that trusts only this server's CA; None for a plain http server (tests)."""
        if urlsplit(self.server).scheme != "https":
            return None
        # Not ssl.create_default_context: it loads the system's CAs, 27 ms and 800 KiB each.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca.decode())
        if self.certificate:
            with _private_file(self.certificate + b"\n" + self.key) as path:
                context.load_cert_chain(path)
        return context


class CredentialSource(Protocol):
    """Gives the credentials that are valid now."""

    def current(self) -> Credentials:
        """The same object as before unless something changed."""


class FixedCredentials:
    """Credentials that do not change while they are used."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def current(self) -> Credentials:
        """The credentials given."""
        return self._credentials


class KubeconfigFile:
    """The current context of a kubeconfig file; read again when a file it is made of changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: tuple[Path, ...] = (path,)
        self._seen: tuple[_Identity, ...] = ()
        self._credentials: Credentials | None = None

    def current(self) -> Credentials:
        """Raises InvalidKubeconfig or OSError only if there was never a good version."""
        if self._credentials is None or self._seen != _identities(self._files):
            # Identities are taken before reading: a change meanwhile is seen the next time.
            seen = _identities(self._files[:1])
            try:
                data = self._path.read_bytes()
                named = files_named_by(data, self._path.parent)
                seen += _identities(named)
                self._credentials = load_kubeconfig(data, self._path.parent)
                self._files = (self._path, *named)
            except (InvalidKubeconfig, OSError):
                if self._credentials is None:
                    raise
                seen = _identities(self._files)
            self._seen = seen
        return self._credentials


_Identity = tuple[int, int]


def _identities(files: Sequence[Path]) -> tuple[_Identity, ...]:
    return tuple(_identity(file) for file in files)


def _identity(file: Path) -> _Identity:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)


class ServiceAccountFiles:
    """The service account of the pod that we run in; its token is renewed by the kubelet."""

    def __init__(self, environment: Mapping[str, str], directory: Path = SERVICE_ACCOUNT) -> None:
        host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
        self._server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self._directory = directory
        self._credentials: Credentials | None = None

    def current(self) -> Credentials:
        """The credentials as the files say now."""
        found = Credentials(
            server=self._server,
            ca=(self._directory / "ca.crt").read_bytes(),
            token=(self._directory / "token").read_text().strip(),
        )
        if found != self._credentials:
            self._credentials = found
        return self._credentials or found


def super_credentials(kubeconfig: str, environment: Mapping[str, str]) -> CredentialSource:
    """A kubeconfig file if one is named, else the pod's service account."""
    if kubeconfig:
        return KubeconfigFile(Path(kubeconfig))
    if "KUBERNETES_SERVICE_HOST" in environment:
        return ServiceAccountFiles(environment)
    raise InvalidKubeconfig("no kubeconfig is given and we do not run in a pod")


def load_kubeconfig(data: bytes, directory: Path | None = None) -> Credentials:
    """The credentials of the current context. Raises InvalidKubeconfig."""
    cluster, user = _current_context(data)
    for refused in ("exec", "auth-provider"):
        if refused in user:
            raise InvalidKubeconfig(f"users[].user.{refused} is not supported: use a certificate")
    token = user.get("token", "")
    if not token and "tokenFile" in user:
        token = _resolve(directory, user["tokenFile"]).read_text().strip()
    return Credentials(
        server=str(cluster.get("server", "")).rstrip("/"),
        ca=_data(cluster, "certificate-authority", directory),
        certificate=_data(user, "client-certificate", directory),
        key=_data(user, "client-key", directory),
        token=token,
        name=str(cluster.get("tls-server-name") or ""),
    )


def files_named_by(data: bytes, directory: Path) -> tuple[Path, ...]:
    """The files that the current context reads credentials from. Raises InvalidKubeconfig."""
    cluster, user = _current_context(data)
    named = [
        cluster.get("certificate-authority"),
        *(user.get(field) for field in ("client-certificate", "client-key", "tokenFile")),
    ]
    return tuple(_resolve(directory, path) for path in named if path)


def _current_context(data: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The cluster and the user."""
    try:
        config: Any = yaml.load(data, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise InvalidKubeconfig("not YAML") from error
    if not isinstance(config, dict):
        raise InvalidKubeconfig("not a kubeconfig: the document is not a mapping")
    context = _named(config, "contexts", config.get("current-context"), "context")
    cluster = _named(config, "clusters", context.get("cluster"), "cluster")
    return cluster, _named(config, "users", context.get("user"), "user")


def _named(config: Mapping[str, Any], field: str, name: Any, inner: str) -> Mapping[str, Any]:
    for item in config.get(field) or []:
        if item.get("name") == name:
            return item.get(inner) or {}
    raise InvalidKubeconfig(f"{field}: there is none named {name!r}")


def _data(values: Mapping[str, Any], field: str, directory: Path | None) -> bytes:
    if inline := values.get(f"{field}-data"):
        try:
            return base64.b64decode(inline, validate=True)
        except binascii.Error as error:
            raise InvalidKubeconfig(f"{field}-data: not base64") from error
    if path := values.get(field):
        return _resolve(directory, path).read_bytes()
    return b""


def _resolve(directory: Path | None, path: str) -> Path:
    return (directory or Path()) / path


@contextmanager
def _private_file(data: bytes) -> Iterator[str]:
    """The ssl module reads certificates from files only: one in memory, gone at once."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("certificate")
        try:
            os.write(descriptor, data)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name
