"""What becomes of streams when connections come, fill up, go away or change."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from kube.connection import Credentials, FixedCredentials
from kube.errors import Unreachable
from kube.http2 import frames
from kube.http2.exchange import WINDOW
from kube.http2.frames import Code, frame
from kube.http2.pool import MOST_CONNECTIONS
from kube.http2.transport import Http2Transport, transport_for
from kube.resources import CONFIG_MAPS
from tests.builders import a_config_map
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.waiting import eventually
from tests.unit.kube.certificates import Authority
from tests.unit.kube.http2.server import SECONDS, Http2Server, Peer
from tests.unit.kube.http2.test_requests import Asked, ask, unreachable


class Renewed:
    """Credentials that a test changes."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    def current(self) -> Credentials:
        """See CredentialSource."""
        return self.credentials


async def test_concurrent_first_requests_share_one_connection(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = [ask(tasks, transport) for _ in range(20)]
        peer = await server.peer()
        for _ in asked:
            peer.answer((await peer.request()).stream)
        assert {(await one).status for one in asked} == {200}
    assert len(server.peers) == 1


async def test_a_refused_connection_is_one_failure_for_all(
    server: Http2Server, transport: Http2Transport
) -> None:
    await server.stop()
    async with asyncio.TaskGroup() as tasks:
        asked = [ask(tasks, transport) for _ in range(20)]
        for one in asked:
            assert "Refused" in await unreachable(one)
    await server.start()
    async with asyncio.TaskGroup() as tasks:
        one = ask(tasks, transport)
        peer = await server.peer()
        peer.answer((await peer.request()).stream)
        await one


async def test_who_is_cancelled_while_connecting_leaves_the_attempt_to_the_others(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        first, second = ask(tasks, transport), ask(tasks, transport)
        await asyncio.sleep(0)
        first.cancel()
        while not second.done():
            peer = await server.peer()
            if len(server.peers) == 2 or not peer.closed.is_set():
                try:
                    peer.answer((await peer.request()).stream)
                except TimeoutError:
                    continue
                break
        assert (await second).status == 200


async def test_the_servers_limit_of_streams_is_kept_and_the_surplus_waits(
    server: Http2Server, transport: Http2Transport
) -> None:
    server.greeting = frames.settings({frames.MAX_CONCURRENT_STREAMS: 2})
    answered = 0

    async def serve(peer: Peer) -> None:
        nonlocal answered
        while answered < 40:
            request = await peer.request()
            await peer.settled()
            opened = [request.stream]
            while peer.has(frames.HEADERS, opened[-1] + 2):
                opened.append((await peer.request()).stream)
            assert len(opened) <= 2
            for stream in opened:
                answered += 1
                peer.answer(stream)

    async with asyncio.TaskGroup() as tasks:
        asked = [ask(tasks, transport) for _ in range(40)]
        serving = [tasks.create_task(serve(await server.peer())) for _ in range(MOST_CONNECTIONS)]
        for one in asked:
            assert (await one).status == 200
        for one_serving in serving:
            one_serving.cancel()
    assert len(server.peers) == MOST_CONNECTIONS


async def test_who_gives_up_waiting_for_room_leaves_the_room_to_others(
    server: Http2Server, transport: Http2Transport
) -> None:
    server.greeting = frames.settings({frames.MAX_CONCURRENT_STREAMS: 1})
    async with asyncio.TaskGroup() as tasks:
        first = [ask(tasks, transport) for _ in range(MOST_CONNECTIONS)]
        peers = [await server.peer() for _ in first]
        streams = [(await peer.request()).stream for peer in peers]
        assert "room" in await unreachable(ask(tasks, transport, timeout=0.2))
        cancelled, waiting = ask(tasks, transport), ask(tasks, transport)
        await asyncio.sleep(0)
        cancelled.cancel()
        peers[0].answer(streams[0])
        peers[0].answer((await peers[0].request()).stream)
        assert (await waiting).status == 200
        for peer, stream in zip(peers[1:], streams[1:], strict=True):
            peer.answer(stream)


async def test_a_refused_stream_is_sent_once_more(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport, b"body")
        peer = await server.peer()
        peer.send(frames.rst_stream((await peer.request()).stream, Code.REFUSED_STREAM))
        request = await peer.request()
        assert await peer.body(request.stream, 4) == b"body"
        peer.answer(request.stream)
        assert (await asked).status == 200
        asked = ask(tasks, transport)
        for _ in range(2):
            peer.send(frames.rst_stream((await peer.request()).stream, Code.REFUSED_STREAM))
        assert "REFUSED_STREAM" in await unreachable(asked)


async def test_after_a_goaway_the_one_is_finished_and_the_other_sent_elsewhere(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        first = ask(tasks, transport)
        peer = await server.peer()
        stream = (await peer.request()).stream
        second = ask(tasks, transport)
        await peer.request()
        peer.goaway(2**31 - 1)
        peer.goaway(stream)
        other = await server.peer()
        other.answer((await other.request()).stream, b"elsewhere")
        assert (await second).body == b"elsewhere"
        peer.answer(stream, b"finished")
        assert (await first).body == b"finished"
        await asyncio.wait_for(peer.closed.wait(), SECONDS)
        assert not other.closed.is_set()


async def test_a_cut_connection_fails_every_stream_and_the_next_request_connects_again(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = [ask(tasks, transport) for _ in range(3)]
        peer = await server.peer()
        for _ in asked:
            await peer.request()
        peer.cut()
        for one in asked:
            await unreachable(one)
        again = ask(tasks, transport)
        peer = await server.peer()
        peer.answer((await peer.request()).stream)
        await again


async def test_a_slow_reader_holds_up_nobody_but_its_own_stream(
    server: Http2Server, transport: Http2Transport
) -> None:
    data = os.urandom(WINDOW)
    async with asyncio.TaskGroup() as tasks:
        reading = transport.stream("/watch", {}, SECONDS)
        entering = tasks.create_task(reading.__aenter__())
        peer = await server.peer()
        stream = (await peer.request()).stream
        peer.head(stream)
        slow = await entering
        peer.data(stream, data)
        await peer.settled()
        assert not peer.has(frames.WINDOW_UPDATE, stream), "its buffer is full"
        for _ in range(20):  # together more than the connection's window
            asked = ask(tasks, transport)
            other = (await peer.request()).stream
            peer.head(other)
            peer.data(other, data, end=True)
            assert len((await asked).body) == WINDOW
        found = b""
        async for chunk in slow.chunks():
            found += chunk
            if len(found) == WINDOW:
                break
        assert found == data
        credit = await peer.frame(frames.WINDOW_UPDATE, stream)
        assert frames.number_of(credit[3]) == WINDOW
        await reading.__aexit__(None, None, None)
        await peer.frame(frames.RST_STREAM, stream)


async def test_a_stream_ends_when_the_server_ends_it_and_breaks_when_it_is_cut(
    server: Http2Server, transport: Http2Transport
) -> None:
    async def read() -> list[bytes]:
        async with transport.stream("/watch", {"Accept": "x"}, SECONDS) as stream:
            assert stream.status == 200
            return [chunk async for chunk in stream.chunks()]

    async with asyncio.TaskGroup() as tasks:
        reading = Asked(tasks, read())
        peer = await server.peer()
        stream = (await peer.request()).stream
        peer.head(stream)
        peer.data(stream, b"one\n")
        peer.data(stream, b"two\n", end=True)
        assert b"".join(await reading) == b"one\ntwo\n"
        reading = Asked(tasks, read())
        stream = (await peer.request()).stream
        peer.head(stream)
        await peer.settled()
        peer.cut()
        with pytest.raises(Unreachable):
            await reading


async def test_a_server_that_sends_more_than_a_stream_may_hold_loses_that_stream(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        reading = transport.stream("/watch", {}, SECONDS)
        entering = tasks.create_task(reading.__aenter__())
        peer = await server.peer()
        stream = (await peer.request()).stream
        peer.head(stream)
        slow = await entering
        peer.data(stream, bytes(WINDOW + 1))
        await peer.frame(frames.RST_STREAM, stream)
        with pytest.raises(Unreachable, match="may not send"):
            await slow.read()
        await reading.__aexit__(None, None, None)
        asked = ask(tasks, transport)
        peer.answer((await peer.request()).stream)
        await asked


async def test_a_streams_error_is_read_within_the_time(
    server: Http2Server, transport: Http2Transport
) -> None:
    async def read(seconds: float) -> tuple[int, bytes]:
        async with transport.stream("/watch", {}, seconds) as stream:
            return stream.status, await stream.read()

    async with asyncio.TaskGroup() as tasks:
        reading = Asked(tasks, read(SECONDS))
        peer = await server.peer()
        peer.answer((await peer.request()).stream, b"gone", 410)
        assert await reading == (410, b"gone")
        reading = Asked(tasks, read(0.9))
        peer.head((await peer.request()).stream, 410)
        with pytest.raises(Unreachable, match="no end"):
            await reading
        reading = Asked(tasks, read(0.9))
        await peer.request()
        with pytest.raises(Unreachable, match="no answer"):
            await reading


async def test_pings_are_answered_and_a_silent_server_is_given_up(server: Http2Server) -> None:
    transport = Http2Transport(FixedCredentials(server.credentials), ping_seconds=0.4)
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport)
        peer = await server.peer()
        await peer.request()
        peer.send(frame(frames.PING, 0, 0, b"12345678"))
        while (ping := await peer.frame(frames.PING))[3] != b"12345678":
            pass
        assert ping[1] == frames.ACK
        for _ in range(2):
            await peer.frame(frames.PING)
            peer.send(frame(frames.PING, frames.ACK, 0, bytes(8)))
        assert "ping" in await unreachable(asked)
    await transport.close()


async def test_an_idle_connection_is_closed(server: Http2Server) -> None:
    transport = Http2Transport(FixedCredentials(server.credentials), ping_seconds=0.2)
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport)
        peer = await server.peer()
        stream = (await peer.request()).stream
        living = tasks.create_task(peer.live())  # silence is not what ends the connection
        peer.answer(stream)
        await asked
        await asyncio.wait_for(peer.closed.wait(), SECONDS)
        living.cancel()
    await transport.close()


async def test_new_credentials_mean_a_new_connection_and_the_old_one_is_drained(
    server: Http2Server,
) -> None:
    source = Renewed(server.credentials)
    transport = Http2Transport(source)
    async with asyncio.TaskGroup() as tasks:
        old = ask(tasks, transport)
        peer = await server.peer()
        stream = (await peer.request()).stream
        first = source.credentials
        source.credentials = Credentials(server=first.server, ca=first.ca, token="another")
        new = ask(tasks, transport)
        other = await server.peer()
        request = await other.request()
        assert request.headers["authorization"] == "Bearer another"
        other.answer(request.stream)
        assert (await new).status == 200
        peer.answer(stream)
        assert (await old).status == 200
        await asyncio.wait_for(peer.closed.wait(), SECONDS)
    await transport.close()


async def test_closing_fails_what_is_under_way_and_the_transport_can_be_used_again(
    server: Http2Server, transport: Http2Transport
) -> None:
    async with asyncio.TaskGroup() as tasks:
        asked = ask(tasks, transport)
        peer = await server.peer()
        await peer.request()
        await transport.close()
        await unreachable(asked)
        await asyncio.wait_for(peer.closed.wait(), SECONDS)
        asked = ask(tasks, transport)
        peer = await server.peer()
        peer.answer((await peer.request()).stream)
        await asked


@pytest.mark.parametrize("tls", [True, False])
async def test_a_server_without_http2_is_asked_over_http1(tls: bool, tmp_path: Path) -> None:
    authority = Authority()
    server = FakeApiServer(tls=authority.server_context(tmp_path) if tls else None)
    server.create(CONFIG_MAPS, a_config_map())
    await server.start()
    transport = transport_for(FixedCredentials(Credentials(server=server.url, ca=authority.pem)))
    target = "/api/v1/configmaps"
    for _ in range(2):
        assert (await transport.request("GET", target, {}, b"", SECONDS)).status == 200
        async with transport.stream(f"{target}?watch=1", {}, SECONDS) as stream:
            assert stream.status == 200
        await transport.close()
    await server.stop()


async def test_a_server_of_another_authority_is_told_nothing(server: Http2Server) -> None:
    other = Credentials(server.credentials.server, Authority().pem, token="a-secret-token")
    transport = Http2Transport(FixedCredentials(other))
    with pytest.raises(Unreachable, match="certificate") as caught:
        await transport.request("GET", "/", {}, b"", SECONDS)
    assert "a-secret-token" not in str(caught.value)
    assert server.peers == []
    await eventually(lambda: not server.peers, "no connection is left")


async def test_the_certificate_must_be_for_the_name_that_the_credentials_tell(
    server: Http2Server,
) -> None:
    """As kubeconfigs do by ``tls-server-name``; the test server's certificate is for 127.0.0.1 only."""
    wrong = msgspec.structs.replace(server.credentials, name="elsewhere")
    transport = Http2Transport(FixedCredentials(wrong))
    with pytest.raises(Unreachable, match="elsewhere"):
        await transport.request("GET", "/", {}, b"", SECONDS)
    await transport.close()
    local = server.credentials.server.replace("127.0.0.1", "localhost")
    right = msgspec.structs.replace(server.credentials, server=local, name="127.0.0.1")
    transport = Http2Transport(FixedCredentials(right))
    async with asyncio.TaskGroup() as tasks:
        one = ask(tasks, transport)
        peer = await server.peer()
        peer.answer((await peer.request()).stream)
        assert (await one).status == 200
    await transport.close()
