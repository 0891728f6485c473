"""One connection of a tenant's API server: what it asks for, and then bytes in both directions."""

import asyncio
import re
import socket
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus

from egress_proxy.destinations import Target

LARGEST_HEAD = 8192
HEAD_SECONDS = 10.0
CONNECT_SECONDS = 5.0
BLOCK_BYTES = 1 << 17
TURN_BYTES = 1 << 19
END = b"\r\n\r\n"

_CONNECT = re.compile(rb"CONNECT ([!-~]{1,300}) HTTP/1\.1\r\n(?:[!-~]+:[ -~]*\r\n){0,20}\r\n")
_UNSPEAKABLE = re.compile(r"[^ -~]")


class Broken(Exception):
    """The API server did not ask as it should, or what it asked for does not answer."""


async def read_target(client: socket.socket) -> str:
    """Whom the API server wants to be connected to: ``host:port``. Raises Broken, OSError."""
    loop = asyncio.get_running_loop()
    head = b""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            while not head.endswith(END) and len(head) <= LARGEST_HEAD:
                piece = await loop.sock_recv(client, LARGEST_HEAD)
                if not piece:
                    raise Broken("it hung up")
                head += piece
    except TimeoutError as error:
        raise Broken("it said nothing") from error
    found = _CONNECT.fullmatch(head)
    if found is None:
        raise Broken("it did not ask for a connection")
    return found[1].decode("ascii")


async def answer(client: socket.socket, status: HTTPStatus, reason: str) -> None:
    """Say yes (200) or no; the API server shows the reason to whoever needed the connection."""
    line = f"HTTP/1.1 {status.value} {_UNSPEAKABLE.sub('?', reason)}\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(client, line.encode("ascii"))


async def connected(targets: Sequence[Target]) -> socket.socket:
    """A connection to the first that answers. Raises Broken."""
    problem = "nothing is there"
    for target in targets:
        family = socket.AF_INET6 if ":" in target.host else socket.AF_INET
        there = socket.socket(family, socket.SOCK_STREAM)
        try:
            there.setblocking(False)
            there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            there.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(there, tuple(target))
        except (OSError, TimeoutError) as error:
            problem = str(error) or f"{target} does not answer"
            there.close()
        except BaseException:
            there.close()
            raise
        else:
            return there
    raise Broken(problem)


async def splice(one: socket.socket, other: socket.socket, count: Callable[[int], None]) -> None:
    """Both directions, until one side ends; what that one has sent is passed on before."""
    async with asyncio.TaskGroup() as tasks:
        ways = [
            tasks.create_task(_until_broken(_pump(source, sink, count)))
            for source, sink in ((one, other), (other, one))
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()


async def _pump(source: socket.socket, sink: socket.socket, count: Callable[[int], None]) -> None:
    loop, passed = asyncio.get_running_loop(), 0
    while piece := await loop.sock_recv(source, BLOCK_BYTES):
        await loop.sock_sendall(sink, piece)
        count(len(piece))
        passed += len(piece)
        if passed >= TURN_BYTES:
            # Sockets that are always ready would never let others have their turn.
            passed = 0
            await asyncio.sleep(0)


async def _until_broken(way: Coroutine[None, None, None]) -> None:
    try:
        await way
    except OSError:
        return
