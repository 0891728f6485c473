"""The whole egress proxy, between API servers' sockets, a fake super cluster and what is behind."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from egress_proxy.app import App
from egress_proxy.directory import QUESTIONS_IN_A_ROW, QUESTIONS_PER_SECOND
from egress_proxy.settings import Settings
from kube.connection import Credentials, FixedCredentials
from kube.objects import Object, ObjectKey
from kube.resources import ENDPOINT_SLICES, NAMESPACES, NODES, PODS, SERVICES
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Answer
from tests.fakes.waiting import eventually, eventually_so
from vcluster import api

TEAM_A, TEAM_B = "team-a-11111111", "team-b-22222222"
HERE = "127.0.0.1"
SECONDS = 60.0


class World:
    """All that is around one proxy; an echo server stands for whatever can be connected to."""

    def __init__(self, directory: Path) -> None:
        self.tenants = directory / "tenants"
        self.super = FakeApiServer()
        self.app: App
        self.port = 0

    async def asked(self, tenant: str, target: str) -> bytes:
        """The answer's status line."""
        reader, writer = await self.connect(tenant, target)
        async with asyncio.timeout(SECONDS):
            line = await reader.readline()
        writer.close()
        return line

    async def lets_through(self, tenant: str, target: str) -> bool:
        """Whether the connection is made."""
        return b" 200 " in await self.asked(tenant, target)

    async def connect(
        self, tenant: str, target: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As kube-apiserver asks (egress_selector.go)."""
        socket = str(self.tenants / tenant / api.EGRESS_SOCKET)
        reader, writer = await asyncio.open_unix_connection(socket)
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return reader, writer

    def run_pod(self, tenant: str, name: str, address: str = HERE) -> None:
        """Do what syncer, scheduler and kubelet do."""
        metadata: Object = {
            "name": name,
            "namespace": f"{tenant}-default",
            "labels": labels(tenant),
        }
        spec = {"containers": [{"name": "main", "image": "demo"}]}
        self.super.create(PODS, {"metadata": metadata, "spec": spec})
        key = ObjectKey(metadata["namespace"], name)
        status = {"phase": "Running", "podIP": address}
        self.super.patch(PODS, key, {"status": status}, "status")

    def make_service(self, tenant: str, name: str, cluster_ip: str, *addresses: str) -> None:
        """A Service with port 443, and its endpoints."""
        metadata = {"name": name, "namespace": f"{tenant}-default", "labels": labels(tenant)}
        spec = {"clusterIP": cluster_ip, "ports": [{"port": 443}]}
        self.super.create(SERVICES, {"metadata": metadata, "spec": spec})
        named = metadata | {"labels": labels(tenant) | {"kubernetes.io/service-name": name}}
        self.super.create(
            ENDPOINT_SLICES,
            {
                "metadata": named,
                "addressType": "IPv4",
                "ports": [{"port": self.port}],
                "endpoints": [{"addresses": [address]} for address in addresses],
            },
        )


def labels(tenant: str) -> dict[str, str]:
    return {api.TENANT_LABEL: tenant}


@asynccontextmanager
async def running_world(directory: Path, **changes: Any) -> AsyncIterator[World]:
    world = World(directory)
    await world.super.start()
    for tenant in (TEAM_A, TEAM_B):
        (world.tenants / tenant).mkdir(parents=True)
        world.super.create(NAMESPACES, {"metadata": {"name": f"{tenant}-default"}})
    server = await asyncio.start_server(echo, HERE, 0)
    world.port = server.sockets[0].getsockname()[1]
    settings = Settings(tenants_directory=str(world.tenants), **changes)
    world.app = App(settings, FixedCredentials(Credentials(server=world.super.url, ca=b"")))
    running = asyncio.create_task(world.app.run())
    try:
        await eventually(lambda: not world.app.problems(), "the proxy knows the nodes")
        for tenant in (TEAM_A, TEAM_B):
            socket = world.tenants / tenant / api.EGRESS_SOCKET
            await eventually(socket.exists, f"{tenant} is served")
        yield world
    finally:
        running.cancel()
        await asyncio.wait([running])
        server.close()
        await world.super.stop()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running_world(tmp_path) as world:
        yield world


async def test_bytes_pass_both_ways_to_an_own_pod(world: World) -> None:
    world.run_pod(TEAM_A, "web")
    reader, writer = await world.connect(TEAM_A, f"{HERE}:{world.port}")
    async with asyncio.timeout(SECONDS):
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        sent = os.urandom(3_000_000)

        async def send() -> None:
            writer.write(sent)
            await writer.drain()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            assert await reader.readexactly(len(sent)) == sent
    writer.close()
    await eventually(lambda: not world.app._server.connections, "the connection is closed")


async def test_a_pod_of_another_tenant_is_refused(world: World) -> None:
    world.run_pod(TEAM_A, "web")
    line = await world.asked(TEAM_B, f"{HERE}:{world.port}")
    assert b" 403 no pod, service or node agent of this cluster is there" in line


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:{port}", "localhost:{port}", "10.96.0.1:443", "169.254.169.254:80", "[::1]:{port}",
     "127.1:{port}", "2130706433:{port}", "0.0.0.0:{port}", "kubernetes.default.svc:443"],
)  # fmt: skip
async def test_what_is_nobodys_pod_is_refused(world: World, target: str) -> None:
    assert b" 403 " in await world.asked(TEAM_A, target.format(port=world.port))


async def test_a_service_leads_to_own_pods_by_name_and_address(world: World) -> None:
    world.make_service(TEAM_A, "hook", "10.112.1.7", HERE)
    refused = await world.asked(TEAM_A, "10.112.1.7:443")
    assert b" 403 the service's endpoints are no pods of this cluster" in refused
    world.run_pod(TEAM_A, "hook")
    for target in ("10.112.1.7:443", "hook.default.svc:443"):
        # An answer is kept for a moment.
        await eventually_so(partial(world.lets_through, TEAM_A, target), f"{target} is reached")
        assert b" 403 " in await world.asked(TEAM_B, target)
    assert b" 403 the service has no port 80" in await world.asked(TEAM_A, "10.112.1.7:80")


async def test_endpoints_that_name_anothers_pod_lead_nowhere(world: World) -> None:
    world.run_pod(TEAM_B, "web")
    world.make_service(TEAM_A, "stolen", "10.112.1.8", HERE, "10.96.0.1")
    refused = await world.asked(TEAM_A, "10.112.1.8:443")
    assert b" 403 the service's endpoints are no pods of this cluster" in refused


async def test_node_agents_are_reached_also_while_the_super_cluster_is_away(world: World) -> None:
    annotations = {api.NODE_AGENT_ANNOTATION: f"{HERE}:{world.port}"}
    world.super.create(NODES, {"metadata": {"name": "n", "annotations": annotations}})
    agent = f"{HERE}:{world.port}"
    await eventually_so(partial(world.lets_through, TEAM_A, agent), "the agent is reached")
    world.super.script.add_for_good("LIST", ".*", Answer(500))
    assert b" 200 " in await world.asked(TEAM_A, f"{HERE}:{world.port}")
    unknown = await world.asked(TEAM_A, f"{HERE}:{world.port + 1}")
    assert b" 503 it cannot be found out at present what is there" in unknown


async def test_node_agents_are_at_the_port_that_the_provider_says(tmp_path: Path) -> None:
    agent = await asyncio.start_server(echo, HERE, 0)
    port = agent.sockets[0].getsockname()[1]
    async with agent, running_world(tmp_path, node_agent_port=port) as world:
        addresses = [{"type": "InternalIP", "address": HERE}]
        world.super.create(NODES, {"metadata": {"name": "n"}, "status": {"addresses": addresses}})
        there = f"{HERE}:{port}"
        await eventually_so(partial(world.lets_through, TEAM_A, there), "the agent is reached")
        assert b" 403 " in await world.asked(TEAM_A, f"{HERE}:{world.port}")


async def test_the_outside_is_reached_if_the_provider_allows_it(tmp_path: Path) -> None:
    async with running_world(tmp_path, allowed_cidrs="0.0.0.0/0") as world:
        assert b" 403 " in await world.asked(TEAM_A, f"localhost:{world.port}")
        assert b" 403 " in await world.asked(TEAM_A, f"169.254.169.254:{world.port}")


async def test_nothing_is_connected_to_in_a_denied_range(tmp_path: Path) -> None:
    """As that of simulated pods, which somebody else may have."""
    async with running_world(tmp_path, denied_cidrs="127.0.0.0/8") as world:
        world.run_pod(TEAM_A, "web")
        world.make_service(TEAM_A, "hook", "10.112.1.7", HERE)
        for target in (f"{HERE}:{world.port}", "10.112.1.7:443"):
            assert b" 403 " in await world.asked(TEAM_A, target)


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.1\r\n\r\n", b"CONNECT a:1\r\n\r\n", b"x" * 9000, b"\r\n\r\n"],
)
async def test_who_asks_for_something_else_is_turned_away(world: World, request_: bytes) -> None:
    socket = str(world.tenants / TEAM_A / api.EGRESS_SOCKET)
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(request_)
    async with asyncio.timeout(SECONDS):
        assert b" 502 it did not ask for a connection" in await reader.readline()
    writer.close()


async def test_tenants_come_and_go(world: World) -> None:
    socket = world.tenants / TEAM_A / api.EGRESS_SOCKET
    assert socket.stat().st_mode & 0o777 == 0o600
    socket.unlink()
    await eventually(socket.exists, "a vanished socket is made anew")
    long = "a" * 49
    (world.tenants / long).mkdir()
    await eventually((world.tenants / long / api.EGRESS_SOCKET).exists, "a new tenant is served")
    socket.unlink()
    socket.parent.rmdir()
    await eventually(lambda: len(world.app._server) == 2, "one that went is not")


async def test_a_tenant_has_a_bounded_number_of_connections(tmp_path: Path) -> None:
    async with running_world(tmp_path, connections=1) as world:
        world.run_pod(TEAM_A, "web")
        reader, writer = await world.connect(TEAM_A, f"{HERE}:{world.port}")
        assert b" 200 " in await reader.readline()
        refused = await world.asked(TEAM_A, f"{HERE}:{world.port}")
        assert b" 403 1 connections are open at once, no more" in refused
        writer.close()


async def test_who_asks_all_the_time_waits_and_nobody_else(world: World) -> None:
    world.run_pod(TEAM_B, "web")
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(QUESTIONS_IN_A_ROW + 10):
        assert not await world.lets_through(TEAM_A, f"10.9.0.{number}:80")
    assert loop.time() - started >= 9 / QUESTIONS_PER_SECOND
    assert await world.lets_through(TEAM_B, f"{HERE}:{world.port}")
