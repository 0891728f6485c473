"""A node agent between a fake super cluster, a fake kubelet, and clients that may be anybody."""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from kube.connection import Credentials, FixedCredentials
from kube.objects import Object, ObjectKey
from kube.resources import CONFIG_MAPS, NAMESPACES, PODS
from node_agent.app import App
from node_agent.settings import Settings
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.kubelet import END, FakeKubelet
from tests.fakes.waiting import eventually, eventually_so
from tests.unit.node_agent.tenants import NODE, YEAR, TenantUnderTest, an_authority
from vcluster.pki.authority import CertificateAuthority, KeyPair, Subject, Usage

ANSWER_SECONDS = 60.0
OWN_TOKEN = "the-agents-own-token"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4"}


class World:
    """All that is around one node agent."""

    def __init__(
        self, directory: Path, kubelet: FakeKubelet, authority: CertificateAuthority
    ) -> None:
        self.directory = directory
        self.kubelet = kubelet
        self.authority = authority
        """Of the agents' serving certificates."""
        self.super = FakeApiServer()
        self.port = 0
        """Of the agent: where it is asked."""
        self.ports: list[int] = []
        """All that it listens at."""
        self.team_a, self.team_b = (
            TenantUnderTest("team-a-11111111"),
            TenantUnderTest("team-b-2222"),
        )

    def publish(self, tenant: TenantUnderTest) -> None:
        """Do what the operator does."""
        self.make_namespace(tenant.key)
        self.super.create(CONFIG_MAPS, tenant.published())

    def make_namespace(self, name: str) -> None:
        """If there is none."""
        if self.super.get(NAMESPACES, ObjectKey("", name)) is None:
            self.super.create(NAMESPACES, {"metadata": {"name": name}})

    def run_pod(self, pod: Object) -> None:
        """Do what syncer, scheduler and kubelet do."""
        self.make_namespace(pod["metadata"]["namespace"])
        metadata = self.super.create(PODS, pod)["metadata"]
        self.kubelet.pods[metadata["namespace"], metadata["name"]] = metadata["uid"]

    async def knows(self, *tenants: TenantUnderTest) -> None:
        """Wait until the agent accepts these tenants' certificates."""
        for tenant in tenants:

            async def known(tenant: TenantUnderTest = tenant) -> bool:
                return (await self.ask(tenant.client(), "GET", "/configz")).status == 403

            await eventually_so(known, f"the agent knows {tenant.key}")

    async def connect(
        self, client: KeyPair | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection, with a certificate or without."""
        return await self.open(self.context(client))

    def context(self, client: KeyPair | None) -> ssl.SSLContext:
        """For a client with a certificate or without."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority.certificate.decode())
        if client is not None:
            with tempfile.NamedTemporaryFile(dir=self.directory) as file:
                file.write(client.certificate + client.key)
                file.flush()
                context.load_cert_chain(file.name)
        return context

    async def open(
        self, context: ssl.SSLContext
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TLS connection to the agent."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context)

    async def ask(
        self,
        client: KeyPair | None,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        behind: bytes = b"",
    ) -> "Answer":
        """One request, answered to its end."""
        fields = {"Host": "node", "Connection": "close", **(headers or {})}
        head = "\r\n".join(
            [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        )
        return await self.send(client, head.encode("latin-1") + behind)

    async def send(self, client: KeyPair | None, data: bytes) -> "Answer":
        """Bytes as they are, and all that comes back."""
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await self.connect(client)
            try:
                writer.write(data)
                await writer.drain()
                return Answer(await reader.read(-1))
            finally:
                writer.close()

    @asynccontextmanager
    async def kept(self, client: KeyPair) -> AsyncIterator["Kept"]:
        """A connection for one request after the other."""
        reader, writer = await self.connect(client)
        try:
            yield Kept(reader, writer)
        finally:
            writer.close()


class Kept(NamedTuple):
    """A connection that is kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, method: str, target: str) -> "Answer":
        """The next request; a body in chunks is read to its last one, any other to the end."""
        async with asyncio.timeout(ANSWER_SECONDS):
            self.writer.write(f"{method} {target} HTTP/1.1\r\nHost: node\r\n\r\n".encode())
            head = await self.reader.readuntil(END)
            if b"chunked" not in head:
                return Answer(head + await self.reader.read(-1))
            return Answer(head + await self.reader.readuntil(b"0\r\n\r\n"))


class Answer:
    """A response, taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        self.head = head.decode("latin-1")
        self.status = int(self.head.split(" ")[1])

    @property
    def text(self) -> str:
        return self.body.decode()


@asynccontextmanager
async def running_world(directory: Path, **changes: object) -> AsyncIterator[World]:
    """Everything runs, and both tenants are known."""
    async with surroundings(directory) as (world, values):
        settings = msgspec.convert(values | changes, Settings)
        credentials = Credentials(server=world.super.url, ca=b"", token=OWN_TOKEN)
        app = App(settings, FixedCredentials(credentials))
        running = asyncio.create_task(app.run())
        try:
            await eventually(lambda: app.ports, "the agent listens")
            await eventually(lambda: not app.problems(), "the agent is ready")
            world.ports = app.ports
            world.port = app.ports[0]
            yield world
        finally:
            running.cancel()
            await asyncio.wait([running])


@asynccontextmanager
async def surroundings(directory: Path) -> AsyncIterator[tuple[World, dict[str, object]]]:
    """All but the agent, and the settings that it needs."""
    agents, cluster = an_authority("agents"), an_authority("cluster")
    loopback = ("127.0.0.1", NODE)
    _save(directory, "agent", agents.issue(Subject("agent"), Usage.SERVER, YEAR, loopback))
    _save(directory, "kubelet", cluster.issue(Subject("kubelet"), Usage.SERVER, YEAR, (NODE,)))
    (directory / "cluster.crt").write_bytes(cluster.certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "kubelet.crt", directory / "kubelet.key")
    world = World(directory, FakeKubelet(tls), agents)
    await world.kubelet.start()
    await world.super.start()
    for tenant in (world.team_a, world.team_b):
        world.publish(tenant)
        world.run_pod(tenant.super_pod())
    try:
        yield (
            world,
            {
                "node": NODE,
                "port": 0,
                "certificate": str(directory / "agent.crt"),
                "key": str(directory / "agent.key"),
                "kubelet": f"127.0.0.1:{world.kubelet.port}",
                "kubelet_ca": str(directory / "cluster.crt"),
            },
        )
    finally:
        await world.kubelet.stop()
        await world.super.stop()


def _save(directory: Path, name: str, pair: KeyPair) -> None:
    for ending, data in ((".key", pair.key), (".crt", pair.certificate)):
        file = directory / f"{name}{ending}"
        file.touch(mode=0o600)
        file.write_bytes(data)
