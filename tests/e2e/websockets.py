"""Logs by WebSocket, as browsers and some clients read them; kubectl does not."""

import socket
import struct
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import urlsplit

from kube.connection import KubeconfigFile
from tests.e2e.local_system import Cluster

PROTOCOL = "binary.k8s.io"
BINARY = 2
TIMEOUT = 60.0


def log_by_websocket(cluster: Cluster, pod: str, namespace: str = "default") -> bytes:
    """A pod's log as its API server sends it over a WebSocket, until it ends that."""
    credentials = KubeconfigFile(cluster.kubeconfig).current()
    context, server = credentials.ssl_context(), urlsplit(credentials.server)
    assert context is not None
    head = (
        f"GET /api/v1/namespaces/{namespace}/pods/{pod}/log HTTP/1.1\r\nHost: {server.netloc}\r\n"
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: c29tZSBieXRlcyBvZiBrZQ==\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
    )
    with (
        socket.create_connection((server.hostname, server.port), TIMEOUT) as plain,
        context.wrap_socket(plain, server_hostname=server.hostname) as tls,
        tls.makefile("rb") as answer,
    ):
        tls.sendall(head.encode())
        assert answer.readline().split()[1] == b"101"
        while answer.readline().strip():
            pass
        return b"".join(_binary(answer))


def _binary(answer: BinaryIO) -> Iterator[bytes]:
    """What the binary frames carry; a server does not mask them."""
    while len(begin := answer.read(2)) == 2:
        size = begin[1]
        if size == 126:
            (size,) = struct.unpack(">H", answer.read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", answer.read(8))
        data = answer.read(size)
        if begin[0] & 0x0F == BINARY:
            yield data
