"""Logs, exec and the like, through the agent."""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node_agent import kubelet
from tests.fakes.waiting import eventually
from tests.unit.node_agent.world import UPGRADE, World, running_world

EXEC = "/exec/default/web/web?command=ls&output=1"
WEBSOCKET = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "a2V5",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
}


@asynccontextmanager
async def opened(
    world: World, path: str, headers: dict[str, str], method: str = "POST"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A request that stays open, as team A; the head of the answer is read."""
    reader, writer = await world.connect(world.team_a.client())
    try:
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split(b" ")[1] == (b"101" if "Upgrade" in headers else b"200"), head
        yield reader, writer
    finally:
        writer.close()


async def test_a_log_comes_from_the_super_pod(world: World) -> None:
    world.kubelet.logs["web"] = b"he\xffo\n"
    answer = await world.ask(
        world.team_a.client(), "GET", "/containerLogs/default/web/web?tailLines=3"
    )
    assert answer.status == 200
    assert answer.body == b"5\r\nhe\xffo\n\r\n0\r\n\r\n"
    namespace = world.team_a.super_namespace()
    assert world.kubelet.requests[-1].target == f"/containerLogs/{namespace}/web/web?tailLines=3"


@pytest.mark.parametrize("size", [1, 3000, 200_000])
async def test_the_end_of_a_log_is_a_record_of_its_own(world: World, size: int) -> None:
    """An API server that passes it on to a WebSocket loses what comes together with the end."""
    world.kubelet.logs["web"] = b"~" * size

    def records() -> list[bytes]:
        context = world.context(world.team_a.client())
        with (
            socket.create_connection(("127.0.0.1", world.port), 10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            head = "GET /containerLogs/default/web/web HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            return list(iter(lambda: connection.recv(1 << 16), b""))  # one record at a time

    found = await asyncio.to_thread(records)
    assert b"".join(found).count(b"~") == size
    assert found[-1] == b"0\r\n\r\n"


async def test_a_connection_carries_one_log_after_the_other(world: World) -> None:
    """An API server's handshakes would be most of what a short log costs."""
    world.kubelet.logs["web"] = b"hello\n"
    async with world.kept(world.team_a.client()) as kept:
        for _ in range(5):
            answer = await kept.ask("GET", "/containerLogs/default/web/web")
            assert answer.body == b"6\r\nhello\n\r\n0\r\n\r\n"
            assert "connection:" not in answer.head.lower()


async def test_a_log_that_contains_what_ends_an_answer_goes_on(world: World) -> None:
    world.kubelet.logs["web"] = b"0\r\n"  # and the end of its chunk
    path = "/containerLogs/default/web/web?follow=true"
    async with opened(world, path, {}, "GET") as (reader, _):
        async with asyncio.timeout(60):
            assert (await reader.readuntil(b"0\r\n\r\n")) == b"3\r\n0\r\n\r\n"
            world.kubelet.more_logs.set()
            assert (await reader.readexactly(8)) == b"3\r\n0\r\n\r\n"


async def test_an_answer_that_broke_off_ends_the_connection(world: World) -> None:
    """Else the client would wait for the rest of it for ever."""
    async with world.kept(world.team_a.client()) as kept:
        kept.writer.write(b"GET /containerLogs/default/web/web?follow=true HTTP/1.1\r\n\r\n")
        await kept.reader.readuntil(b"\r\n\r\n")
        await world.kubelet.stop()
        assert await kept.reader.read(-1) == b""


async def test_a_client_that_asks_no_more_is_let_go(tmp_path: Path) -> None:
    async with (
        running_world(tmp_path, idle_seconds=1.0) as world,
        world.kept(world.team_a.client()) as kept,
    ):
        world.kubelet.logs["web"] = b"hello\n"
        assert (await kept.ask("GET", "/containerLogs/default/web/web")).status == 200
        assert await kept.reader.read(-1) == b""


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/exec/default/web/web?command=a%20b&command=c", "/web?command=a%20b&command=c"),
        ("/attach/default/web/web?input=1", "/web?input=1"),
        ("/portForward/default/web", ""),
    ],
)
@pytest.mark.parametrize("headers", [UPGRADE, WEBSOCKET])
async def test_streams_name_the_super_pod_by_its_uid(
    world: World, path: str, rest: str, headers: dict[str, str]
) -> None:
    async with opened(world, path, headers) as (reader, writer):
        writer.write(b"\x00ping")
        assert await reader.readexactly(5) == b"\x00ping"
    received = world.kubelet.requests[-1]
    namespace = world.team_a.super_namespace()
    verb, uid = path.split("/")[1], world.kubelet.pods[namespace, "web"]
    assert received.target == f"/{verb}/{namespace}/web/{uid}{rest}"
    assert received.headers["connection"] == "Upgrade"
    assert received.headers["upgrade"] == headers["Upgrade"]


async def test_a_command_is_run_and_its_output_returned(world: World) -> None:
    answer = await world.ask(world.team_a.client(), "POST", "/run/default/web/web?cmd=id")
    assert (answer.status, answer.text) == (200, "ran")


async def test_an_empty_body_is_none(world: World) -> None:
    """As an API server's proxy passes on a POST."""
    answer = await world.ask(
        *(world.team_a.client(), "POST", "/run/default/web/web?cmd=id"),
        {"Transfer-Encoding": "chunked"},
        behind=b"0\r\n\r\n",
    )
    assert (answer.status, answer.text) == (200, "ran")
    assert "transfer-encoding" not in world.kubelet.requests[-1].headers


async def test_the_kubelet_learns_who_we_are_and_nothing_that_the_client_says(
    world: World,
) -> None:
    abuse = {
        "Authorization": "Bearer stolen",
        "Impersonate-User": "system:admin",
        "X-Remote-User": "root",
        "X-Forwarded-For": "10.0.0.1",
        "Cookie": "a=b",
        "User-Agent": "kubectl",
    }
    await world.ask(world.team_a.client(), "GET", "/containerLogs/default/web/web", abuse)
    received = world.kubelet.requests[-1].headers
    assert received["authorization"] == "Bearer the-agents-own-token"
    assert set(received) == {"host", "connection", "user-agent", "authorization"}


async def test_a_large_stream_arrives_whole_in_both_directions(world: World) -> None:
    size, piece = 32 * 2**20, bytes(range(256)) * 256
    async with opened(world, EXEC, UPGRADE) as (reader, writer):
        sent, received = hashlib.sha256(), hashlib.sha256()

        async def send() -> None:
            for _ in range(size // len(piece)):
                sent.update(piece)
                writer.write(piece)
                await writer.drain()

        async with asyncio.timeout(180), asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            count = 0
            while count < size:
                data = await reader.read(2**16)
                assert data
                count += len(data)
                received.update(data)
        assert received.digest() == sent.digest()


async def test_the_last_words_of_the_kubelet_are_delivered(world: World) -> None:
    async with opened(world, EXEC, UPGRADE) as (reader, writer):
        writer.write(b"x" * 100_000 + b"bye")
        assert len(await reader.read(-1)) == 100_003


async def test_a_client_that_leaves_ends_what_the_kubelet_does_for_it(world: World) -> None:
    path = "/containerLogs/default/web/web?follow=true"
    async with opened(world, path, {}, "GET"):
        await eventually(lambda: world.kubelet.busy == 1, "the kubelet is asked")
    await eventually(lambda: world.kubelet.busy == 0, "the kubelet is left alone")


async def test_a_client_that_leaves_before_the_first_byte_is_noticed(world: World) -> None:
    """A container that has written nothing: the kubelet has not even answered."""
    world.kubelet.silent = True
    _, writer = await world.connect(world.team_a.client())
    writer.write(b"GET /containerLogs/default/web/web?follow=true HTTP/1.1\r\n\r\n")
    await eventually(lambda: world.kubelet.busy == 1, "the kubelet is asked")
    writer.close()
    await eventually(lambda: world.kubelet.busy == 0, "the kubelet is left alone")


async def test_a_client_that_takes_nothing_is_dropped(tmp_path: Path) -> None:
    async with running_world(tmp_path, stalled_seconds=0.5) as world:
        world.kubelet.logs["web"] = b"x" * 65536
        world.kubelet.more_logs.set()
        path = "/containerLogs/default/web/web?follow=true"
        async with opened(world, path, {}, "GET") as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await eventually(lambda: world.kubelet.busy == 1, "the kubelet writes")
            await eventually(lambda: world.kubelet.busy == 0, "the slow client is dropped")


async def test_a_client_is_read_no_faster_than_the_container_reads(tmp_path: Path) -> None:
    """It is held up by what the sockets take, a few MiB, and in the end dropped."""
    async with running_world(tmp_path, stalled_seconds=0.5) as world:
        world.kubelet.hears.clear()
        most, sent, piece = 128 * 2**20, 0, bytes(2**18)
        async with asyncio.timeout(180), opened(world, EXEC, UPGRADE) as (_, writer):
            with contextlib.suppress(OSError):
                while sent < most:
                    writer.write(piece)
                    await writer.drain()
                    sent += len(piece)
        assert sent < most
        world.kubelet.hears.set()


async def test_streams_may_be_idle_for_as_long_as_they_like(tmp_path: Path) -> None:
    """None of the agent's time-outs is about a stream on which nobody has anything to say."""
    async with (
        running_world(tmp_path, stalled_seconds=1.0, idle_seconds=1.0) as world,
        opened(world, EXEC, UPGRADE) as (reader, writer),
        world.kept(world.team_a.client()) as kept,
    ):
        path = "/containerLogs/default/web/web"
        assert (await kept.ask("GET", path)).status == 200
        assert await kept.reader.read(-1) == b"", "an idle connection is let go"
        world.kubelet.logs["web"] = b"x" * 65536
        world.kubelet.more_logs.set()
        async with opened(world, f"{path}?follow=true", {}, "GET") as (_, slow):
            slow.transport.pause_reading()  # type: ignore[attr-defined]
            await eventually(lambda: world.kubelet.busy == 1, "a stalled client is dropped")
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"


async def test_a_kubelet_that_is_away_is_said_to_be(world: World) -> None:
    await world.kubelet.stop()
    answer = await world.ask(world.team_a.client(), "GET", "/containerLogs/default/web/web")
    assert (answer.status, answer.text) == (502, "the node's kubelet does not answer\n")


async def test_errors_of_the_kubelet_speak_the_tenants_words(world: World) -> None:
    namespace = world.team_a.super_namespace()
    del world.kubelet.pods[namespace, "web"]
    answer = await world.ask(world.team_a.client(), "GET", "/containerLogs/default/web/web")
    assert (answer.status, answer.text) == (404, 'pod "web_default" does not exist')


async def test_the_next_connection_is_made_when_a_command_has_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake beside it would take the CPU that it needs to begin; a long one is not waited for."""
    monkeypatch.setattr(kubelet, "CALM_SECONDS", 60.0)
    async with opened(world, EXEC, UPGRADE):
        await asyncio.sleep(0.3)
        assert world.kubelet.open == 1
    await eventually(lambda: not world.kubelet.busy, "the command has ended")
    await eventually(lambda: world.kubelet.open == 1, "the next connection is there")
    monkeypatch.setattr(kubelet, "CALM_SECONDS", 0.1)
    async with opened(world, EXEC, UPGRADE):
        await eventually(lambda: world.kubelet.open == 2, "one is there beside a long command")
