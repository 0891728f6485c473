"""What becomes of a request when the server, or the way to it, fails."""

import asyncio
import time

import pytest

from kube.client import RETRIES_WHEN_BUSY, Client, Patch
from kube.connection import Credentials, FixedCredentials
from kube.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    error_from,
)
from kube.objects import ObjectKey, encode
from kube.resources import CONFIG_MAPS, SECRETS
from kube.transport import AiohttpTransport
from tests.builders import a_config_map
from tests.conftest import client_of
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer, Cut, Hang, Slow
from tests.fakes.waiting import eventually

SETTINGS = ObjectKey("default", "settings")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, BadRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (418, ApiError),
        (422, Invalid),
        (500, ServerError),
        (503, ServerError),
    ],
)
async def test_each_status_is_an_error_of_its_own(
    apiserver: FakeApiServer, client: Client, code: int, kind: type[ApiError]
) -> None:
    apiserver.script.add("GET", "configmaps", Answer(code, "SomeReason", "what went wrong"))
    with pytest.raises(ApiError) as caught:
        await client.get(CONFIG_MAPS, SETTINGS)
    assert type(caught.value) is kind
    assert caught.value.reason == "SomeReason"
    assert "what went wrong" in str(caught.value)


async def test_an_object_in_the_way_is_told_from_other_conflicts(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, SETTINGS, encode(a_config_map()))


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"[]", b'{"details": 3}', b"null"])
def test_an_error_with_any_body_is_an_error(body: bytes) -> None:
    assert isinstance(error_from(500, body), ServerError)


async def test_errors_never_repeat_what_was_sent(apiserver: FakeApiServer, client: Client) -> None:
    secret = {"metadata": {"name": "Not Valid"}, "stringData": {"password": "hunter2"}}
    with pytest.raises(Invalid) as caught:
        await client.create(SECRETS, ObjectKey("default", ""), encode(secret))
    assert "hunter2" not in str(caught.value)


async def test_a_busy_server_is_asked_again_after_the_time_it_wants(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    apiserver.script.add("GET", "configmaps", Answer(429, "TooManyRequests", retry_after=1))
    start = time.monotonic()
    await client.get(CONFIG_MAPS, SETTINGS)
    assert time.monotonic() - start >= 1
    assert len(apiserver.script.calls("GET")) == 2


async def test_a_server_that_stays_busy_is_not_asked_for_ever(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.script.add_for_good("GET", "configmaps", Answer(429, "TooManyRequests"))
    with pytest.raises(TooManyRequests):
        await client.get(CONFIG_MAPS, SETTINGS)
    assert len(apiserver.script.calls("GET")) == 1 + RETRIES_WHEN_BUSY


async def test_no_server_can_make_us_wait_for_long(
    apiserver: FakeApiServer,
) -> None:
    client = client_of(apiserver, longest_wait=0.05)
    apiserver.create(CONFIG_MAPS, a_config_map())
    apiserver.script.add("GET", "configmaps", Answer(429, retry_after=86400))
    async with asyncio.timeout(60):
        await client.get(CONFIG_MAPS, SETTINGS)
    await client.close()


async def test_an_error_is_not_retried_unless_the_server_asks_for_it(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.script.add("POST", "configmaps", Answer(500, "InternalError"))
    with pytest.raises(ServerError):
        await client.create(CONFIG_MAPS, SETTINGS, encode(a_config_map()))
    assert len(apiserver.script.calls("POST")) == 1


async def test_a_server_that_says_nothing_is_given_up_after_the_time_out(
    apiserver: FakeApiServer,
) -> None:
    impatient = client_of(apiserver, timeout=0.05)
    apiserver.script.add("GET", "configmaps", Hang())
    with pytest.raises(Unreachable, match=r"no answer within 0\.05 s"):
        await impatient.get(CONFIG_MAPS, SETTINGS)
    await impatient.close()


async def test_a_hung_request_costs_the_others_nothing(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    fault = apiserver.script.add("GET", "secrets", Hang(), times=100)
    async with asyncio.TaskGroup() as tasks:
        hung = [
            tasks.create_task(client.get(SECRETS, ObjectKey("default", f"s-{number}")))
            for number in range(100)
        ]
        await eventually(lambda: fault.hits == 100, "all requests hang")
        await client.get(CONFIG_MAPS, SETTINGS)
        assert not any(task.done() for task in hung), "it did not wait for their end"
        for task in hung:
            task.cancel()


async def test_a_cancelled_request_leaves_the_client_usable(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    fault = apiserver.script.add("GET", "configmaps", Hang())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(client.get(CONFIG_MAPS, SETTINGS))
        await eventually(lambda: fault.hits, "the request hangs")
        task.cancel()
    assert b"settings" in await client.get(CONFIG_MAPS, SETTINGS)


async def test_a_cut_connection_says_nothing_about_the_write(
    apiserver: FakeApiServer, client: Client
) -> None:
    """The answer is lost, twice: the caller must look, and finds what it wrote."""
    apiserver.script.add("POST", "configmaps", Cut(done=True), times=2)
    with pytest.raises((Unreachable, AlreadyExists)):
        await client.create(CONFIG_MAPS, SETTINGS, encode(a_config_map()))
    assert len(apiserver.objects(CONFIG_MAPS)) == 1


async def test_a_kept_connection_that_the_server_has_closed_is_replaced(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    await client.get(CONFIG_MAPS, SETTINGS)
    await apiserver.stop()
    await apiserver.start()
    assert b"settings" in await client.get(CONFIG_MAPS, SETTINGS)


async def test_no_server_at_all_is_unreachable(apiserver: FakeApiServer, client: Client) -> None:
    await apiserver.stop()
    with pytest.raises(Unreachable):
        await client.get(CONFIG_MAPS, SETTINGS)


async def test_garbage_instead_of_a_list_is_unreachable(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.script.add("LIST", "configmaps", Answer(200, body=b"<html>a proxy's page"))
    with pytest.raises(Unreachable):
        await anext(client.pages(CONFIG_MAPS))


@pytest.mark.parametrize("body", [b"<html>a proxy's page", b"", b"{}", b'{"kind":"Pod","a":\xff'])
@pytest.mark.parametrize("verb", ["POST", "PUT", "PATCH", "DELETE"])
async def test_garbage_in_answer_to_a_write_is_unreachable(
    apiserver: FakeApiServer, client: Client, verb: str, body: bytes
) -> None:
    apiserver.script.add(verb, "configmaps", Answer(200, body=body))
    writes = {
        "POST": lambda: client.create(CONFIG_MAPS, SETTINGS, b"{}"),
        "PUT": lambda: client.update(CONFIG_MAPS, SETTINGS, b"{}"),
        "PATCH": lambda: client.patch(CONFIG_MAPS, SETTINGS, Patch.MERGE, b"{}"),
        "DELETE": lambda: client.delete(CONFIG_MAPS, SETTINGS, uid="x"),
    }
    with pytest.raises(Unreachable):
        await writes[verb]()


async def test_a_slow_answer_within_the_time_out_is_an_answer(
    apiserver: FakeApiServer, client: Client
) -> None:
    apiserver.create(CONFIG_MAPS, a_config_map())
    apiserver.script.add("GET", "configmaps", Slow(0.05))
    assert b"settings" in await client.get(CONFIG_MAPS, SETTINGS)


async def test_readiness_is_what_the_server_says(apiserver: FakeApiServer, client: Client) -> None:
    await client.ready()
    apiserver.ready = False
    with pytest.raises(ServerError):
        await client.ready()


async def test_the_observer_hears_of_silence_and_of_any_answer(apiserver: FakeApiServer) -> None:
    heard: list[bool] = []
    client = client_of(apiserver, timeout=1.5, observe=heard.append)
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, SETTINGS)
    apiserver.script.add("GET", "configmaps", Hang())
    with pytest.raises(Unreachable):
        await client.get(CONFIG_MAPS, SETTINGS)
    await client.close()
    assert heard == [True, False]


async def test_requests_are_counted_by_verb_and_kind(
    apiserver: FakeApiServer, client: Client
) -> None:
    await client.create(CONFIG_MAPS, SETTINGS, encode(a_config_map()))
    await client.get(CONFIG_MAPS, SETTINGS)
    async for _ in client.pages(CONFIG_MAPS):
        pass
    assert client.calls == {
        ("POST", "configmaps"): 1,
        ("GET", "configmaps"): 1,
        ("LIST", "configmaps"): 1,
    }


@pytest.mark.parametrize("ends", [True, False], ids=["cut", "hangs"])
async def test_a_refused_watch_whose_reason_does_not_arrive_is_unreachable(ends: bool) -> None:
    """Half an error's body: an informer must hear of it as of any other broken connection."""
    open_end = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\n{")
            if not ends:
                await open_end.wait()
            writer.close()
            await writer.wait_closed()
        finally:
            served.set()

    served = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    source = FixedCredentials(Credentials(server=url, ca=b""))
    client = Client(AiohttpTransport(source), timeout=0.9)
    with pytest.raises(Unreachable):
        async with asyncio.timeout(60):
            await anext(client.watch(CONFIG_MAPS, "1"))
    open_end.set()
    await served.wait()
    await client.close()
    server.close()
    await server.wait_closed()
