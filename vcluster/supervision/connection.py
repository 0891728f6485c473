"""The wire to supervisord: XML-RPC over its unix socket, with time-outs."""

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 10.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, _host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        # Where the base class looks for what it must close.
        self._connection = None, connection
        return connection


def connect(path: Path) -> xmlrpc.client.ServerProxy:
    """A client of the supervisord that listens at ``path``; nothing is sent yet.

    Its calls raise OSError or http.client.HTTPException when it is not there, and
    xmlrpc.client.Fault when it refuses.
    """
    return xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_UnixTransport(path))
