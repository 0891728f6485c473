"""`python -m vcluster.local.real_nodes.gateway STATE BLOCK PORT`: API servers for nodes and pods.

API servers listen on loopback only. This program listens in the router's network namespace, at the
gateway's address, and passes each connection on to the same port of the host's loopback: PORT is the
super cluster's; those of the tenants' API servers come and go. It sees only encrypted bytes.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from vcluster.local.real_nodes.namespaces import Holder, enter
from vcluster.local.real_nodes.site import Site

LOOPBACK = "127.0.0.1"
API_SERVER = "kube-apiserver"
LOOK_SECONDS = 0.5
BLOCK_BYTES = 1 << 18
BACKLOG = 256


Forward: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Gateway:
    """Listens on exactly the ports that it is told."""

    def __init__(self, address: str, namespace: str) -> None:
        self._address = address
        self._namespace = namespace
        self._servers: dict[int, asyncio.Server] = {}

    async def listen(self, ports: Iterable[int]) -> None:
        """Open what is new, close what is no longer wanted."""
        wanted = set(ports)
        for port in self._servers.keys() - wanted:
            self._servers.pop(port).close()
        for port in wanted - self._servers.keys():
            listener = self._socket(port)
            self._servers[port] = await asyncio.start_server(
                _forwarder(port), sock=listener, limit=BLOCK_BYTES, backlog=BACKLOG
            )

    def _socket(self, port: int) -> socket.socket:
        """A listening socket in the router's namespace; we are there for this moment only."""
        with _inside(self._namespace):
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._address, port))
        return listener


async def run(site: Site, port: int) -> None:
    """Serve until the router ends."""
    holder = Holder.read(site.router_holder)
    while holder is None:
        await asyncio.sleep(LOOK_SECONDS / 5)
        holder = Holder.read(site.router_holder)
    gateway = Gateway(str(site.gateway), holder.namespace("net"))
    while Holder.read(site.router_holder) == holder:
        await gateway.listen({port, *tenant_ports(site.state)})
        await asyncio.sleep(LOOK_SECONDS)


def tenant_ports(state: Path) -> Iterator[int]:
    """The ports of the tenants' API servers, as the process provisioner has placed them."""
    for path in (state / "tenants").glob("*/ports.json"):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            ports = msgspec.json.decode(path.read_bytes(), type=dict[str, int])
            if API_SERVER in ports:
                yield ports[API_SERVER]


@contextlib.contextmanager
def _inside(namespace: str) -> Iterator[None]:
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(there)
        os.close(home)


def _forwarder(port: int) -> Forward:
    """Serves one connection."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            there, back = await asyncio.open_connection(LOOPBACK, port, limit=BLOCK_BYTES)
            with contextlib.closing(back):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_copy(reader, back))
                    tasks.create_task(_copy(there, writer))

    return forward


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the source ends; the end is passed on, the other direction goes on."""
    try:
        while data := await source.read(BLOCK_BYTES):
            target.write(data)
            await target.drain()
        target.write_eof()
    except OSError:
        # One side has gone: so shall the other, in both directions.
        target.transport.abort()


def main(arguments: Sequence[str]) -> None:
    """Read the arguments, and serve until SIGTERM."""
    state, block, port = arguments
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    asyncio.run(run(Site(Path(state), int(block)), int(port)))


if __name__ == "__main__":
    main(sys.argv[1:])
