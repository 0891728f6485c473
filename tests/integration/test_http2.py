"""The HTTP/2 transport against a real kube-apiserver."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from kube.client import Client, Patch
from kube.connection import KubeconfigFile
from kube.errors import AlreadyExists, ApiError, BadRequest, Conflict, NotFound, Unreachable
from kube.http2.transport import Http2Transport
from kube.objects import ObjectKey, decode_head, encode
from kube.resources import CONFIG_MAPS
from tests.fakes.waiting import eventually, eventually_so
from tests.integration.super_cluster import SuperCluster
from vcluster.local.components import GROUP
from vcluster.supervision import Supervisor

pytestmark = pytest.mark.integration

LARGE = 2**20 - 1000
API_SERVER = "kube-apiserver"
BACK_SECONDS = 180.0


@pytest.fixture
async def client(super_cluster: SuperCluster) -> AsyncIterator[Client]:
    """An administrator's client over HTTP/2."""
    source = KubeconfigFile(super_cluster.kubeconfig("admin"))
    client = Client(Http2Transport(source), timeout=60.0)
    yield client
    await client.close()


def a_config_map(name: str, **data: str) -> tuple[ObjectKey, bytes]:
    key = ObjectKey("default", name)
    metadata = {"name": name, "namespace": "default", "labels": {"of": name}}
    return key, encode(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    )


async def remove(client: Client, key: ObjectKey) -> None:
    uid = decode_head(await client.get(CONFIG_MAPS, key)).metadata.uid
    await client.delete(CONFIG_MAPS, key, uid=uid)


def connections_to(super_cluster: SuperCluster) -> set[int]:
    """The ports from which this process is connected to the API server; also other tests' clients."""
    port = super_cluster.state.ports[API_SERVER]
    found = psutil.Process().net_connections("tcp")
    return {
        one.laddr.port
        for one in found
        if one.status == psutil.CONN_ESTABLISHED and one.raddr[1:] == (port,)
    }


async def test_an_object_is_created_read_changed_and_deleted(client: Client) -> None:
    key, body = a_config_map("http2-life", a="b")
    created = decode_head(await client.create(CONFIG_MAPS, key, body))
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, key, body)
    with pytest.raises(BadRequest):
        await client.create(CONFIG_MAPS, key, b"{")
    assert decode_head(await client.get(CONFIG_MAPS, key)) == created
    patched = await client.patch(CONFIG_MAPS, key, Patch.MERGE, encode({"data": {"c": "d"}}))
    assert json.loads(patched)["data"] == {"a": "b", "c": "d"}
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, key, uid="another")
    await remove(client, key)
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, key)


async def test_an_object_as_large_as_can_be_goes_both_ways(client: Client) -> None:
    key, body = a_config_map("http2-large", data="x" * LARGE)
    await client.create(CONFIG_MAPS, key, body)
    assert json.loads(await client.get(CONFIG_MAPS, key))["data"]["data"] == "x" * LARGE
    await remove(client, key)


async def test_a_large_list_and_a_watch_of_it(client: Client) -> None:
    names = [f"http2-list-{number}" for number in range(4)]
    for name in names:
        await client.create(CONFIG_MAPS, *a_config_map(name, data="x" * 700_000))
    pages = [page async for page in client.pages(CONFIG_MAPS, limit=100)]
    assert sum(len(bytes(item)) for page in pages for item in page.items or ()) > 4 * 700_000
    for name in names:
        key = ObjectKey("default", name)
        events = client.watch(CONFIG_MAPS, "0", label_selector=f"of={name}")
        assert next(event.type for event in await anext(events)) == "ADDED"
        await events.aclose()  # type: ignore[attr-defined]
        await remove(client, key)


async def test_three_hundred_requests_at_once(client: Client, super_cluster: SuperCluster) -> None:
    before = connections_to(super_cluster)
    key, body = a_config_map("http2-crowd", a="b")
    await client.create(CONFIG_MAPS, key, body)
    answers = await asyncio.gather(*(client.get(CONFIG_MAPS, key) for _ in range(300)))
    assert len(set(answers)) == 1
    assert 1 <= len(connections_to(super_cluster) - before) <= 4
    await remove(client, key)


async def test_twenty_watches_and_requests_share_one_connection(
    client: Client, super_cluster: SuperCluster
) -> None:
    before = connections_to(super_cluster)
    seen: list[set[str]] = [set() for _ in range(20)]

    async def watch(number: int) -> None:
        selector = f"of=http2-watch-{number}"
        async for events in client.watch(CONFIG_MAPS, "0", label_selector=selector):
            seen[number] |= {event.type for event in events}

    async with asyncio.TaskGroup() as tasks:
        watches = [tasks.create_task(watch(number)) for number in range(len(seen))]
        for number in range(len(seen)):
            key, body = a_config_map(f"http2-watch-{number}", a="b")
            await client.create(CONFIG_MAPS, key, body)
            await remove(client, key)
        await eventually(lambda: all("DELETED" in one for one in seen), "all is seen", 60.0)
        assert len(connections_to(super_cluster) - before) <= 1
        for one in watches:
            one.cancel()


async def pid_of_the_api_server(supervisor: Supervisor) -> int:
    """0 while it is about to be started again."""
    statuses = await asyncio.to_thread(supervisor.statuses, GROUP)
    return next(status.pid for status in statuses if status.name == API_SERVER)


async def test_an_api_server_that_is_killed_is_unreachable_until_it_is_back(
    client: Client, super_cluster: SuperCluster
) -> None:
    key = ObjectKey("kube-system", "extension-apiserver-authentication")
    await client.get(CONFIG_MAPS, key)
    broken: list[str] = []

    async def watch() -> None:
        try:
            async for _ in client.watch(CONFIG_MAPS, "0"):
                pass
        except Unreachable as error:
            broken.append(str(error))

    supervisor = Supervisor(super_cluster.state.supervisor_directory)
    pid = await pid_of_the_api_server(supervisor)
    assert pid
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        await asyncio.gather(*(client.get(CONFIG_MAPS, key) for _ in range(10)))
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: broken, "the watch breaks")

    async def another() -> bool:
        return await pid_of_the_api_server(supervisor) not in (0, pid)

    # Not left to chance how soon the next one answers: it is stopped as soon as it is there.
    await eventually_so(another, "another one is started")
    await asyncio.to_thread(supervisor.stop, GROUP, API_SERVER)
    with pytest.raises(Unreachable):
        await client.get(CONFIG_MAPS, key)
    await asyncio.to_thread(supervisor.start_program, GROUP, API_SERVER)
    async with asyncio.timeout(BACK_SECONDS):
        while True:
            try:
                await client.ready()
                break
            except (Unreachable, ApiError):  # in many ways, while it starts
                await asyncio.sleep(0.2)
    await client.get(CONFIG_MAPS, key)
