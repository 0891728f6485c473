"""Logs and commands of one pod through one API server, timed as kubectl's user feels them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

import aiohttp

from kube.connection import Credentials
from tests.bench.system import BenchError

ERROR_CHANNEL = 3
PROTOCOL = "v5.channel.k8s.io"
PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Streams:
    """A pod with one container, and the API server that is asked for it."""

    session: aiohttp.ClientSession
    pod: str
    """The URL of the pod."""

    async def first_log_byte(self) -> float:
        """Seconds from the request to the first byte of the last line of the log."""
        start = perf_counter()
        async with self.session.get(f"{self.pod}/log?tailLines=1") as answer:
            await _good(answer)
            if not await answer.content.readany():
                raise BenchError(f"{self.pod} has written no log")
            first = perf_counter()
            await answer.read()
        return first - start

    async def log(self) -> tuple[int, float]:
        """How many bytes the whole log has, and the seconds until all were read."""
        start, size = perf_counter(), 0
        async with self.session.get(f"{self.pod}/log") as answer:
            await _good(answer)
            while piece := await answer.content.read(PIECE):
                size += len(piece)
        return size, perf_counter() - start

    async def execute(self, *command: str) -> float:
        """Seconds from the request to the exit status of the command, which must be 0."""
        query = "&".join([*(f"command={word}" for word in command), "stdout=true"])
        start = perf_counter()
        async with self.session.ws_connect(
            f"{self.pod}/exec?{query}", protocols=(PROTOCOL,), max_msg_size=0
        ) as stream:
            async for message in stream:
                data = message.data
                if isinstance(data, bytes) and data[0] == ERROR_CHANNEL:
                    status = json.loads(data[1:])
                    if status.get("status") != "Success":
                        raise BenchError(f"{' '.join(command)}: {status.get('message')}")
                    return perf_counter() - start
        raise BenchError(f"{' '.join(command)}: the API server sent no exit status")


@asynccontextmanager
async def streams(credentials: Credentials, namespace: str, pod: str) -> AsyncIterator[Streams]:
    """Connections are kept, as by any client that asks more than once."""
    connector = aiohttp.TCPConnector(ssl=credentials.ssl_context() or False)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Streams(session, f"{credentials.server}/api/v1/namespaces/{namespace}/pods/{pod}")


async def _good(answer: aiohttp.ClientResponse) -> None:
    if answer.status != 200:
        raise BenchError(f"{answer.url.path}: {answer.status} {(await answer.text())[:300]}")
