"""The system that is measured: `vc up` in a folder of the bench's own, and its tenants."""

import asyncio
import base64
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import msgspec

from kube.client import Client
from kube.connection import FixedCredentials, KubeconfigFile, load_kubeconfig
from kube.errors import AlreadyExists, ApiError, NotFound, Unreachable
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import NAMESPACES, SECRETS, SERVICE_ACCOUNTS, Resource
from kube.transport import AiohttpTransport
from tests.bench.processes import Usages, cpu_seconds, measure
from vcluster import api
from vcluster.local.state import State
from vcluster.supervision import Supervisor

NAMESPACE = "tenants"
REQUEST_SECONDS = 30.0
TENANT_SECONDS = 120.0
UP_SECONDS = 900
POLL_SECONDS = 0.1
CALM_CORES = 0.5
"""Below this use of CPU by all programs together the system counts as idle."""
CALM_SECONDS = 15.0
VIRTUAL_CLUSTERS = Resource(api.GROUP, api.VERSION, api.VIRTUAL_CLUSTER_PLURAL, "VirtualCluster")


class BenchError(Exception):
    """The bench cannot go on; says why."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant that is ready."""

    name: str
    key: str
    client: Client
    audit_log: Path
    ready_seconds: float
    """From its creation to its condition Ready."""


class System:
    """The local system in ``directory``, which is the bench's own and deleted at the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self.state = State(self._directory / "system")

    @contextmanager
    def held(self, keep: bool, *up: str) -> Iterator[None]:
        """The system is up inside this block; what an earlier, killed run left goes first.

        ``up``: options of ``vc up``.

        Raises BenchError if another run holds the folder, or if it is not the bench's.
        """
        lock = self._lock()
        try:
            self._vc("down", "--purge")
            self._vc("up", *up)
            yield
        finally:
            if not keep:
                self._vc("down", "--purge")
                shutil.rmtree(self._directory)
            os.close(lock)

    def super_client(self) -> Client:
        """As the super cluster's administrator."""
        source = KubeconfigFile(self.state.super_kubeconfig())
        return Client(AiohttpTransport(source), REQUEST_SECONDS)

    async def usages(self) -> Usages:
        """What each process has used up to now."""
        return await asyncio.to_thread(lambda: measure(self._supervisor.statuses()))

    def pid(self, group: str, name: str) -> int:
        """The process of a component. Raises BenchError if there is none."""
        for status in self._supervisor.statuses(group):
            if status.name == name and status.pid:
                return status.pid
        raise BenchError(f"{name} of {group} does not run")

    async def create_tenant(self, super_client: Client, name: str) -> Tenant:
        """Create a tenant and wait until it is Ready. Raises BenchError."""
        await create_namespace(super_client, NAMESPACE)
        key = ObjectKey(NAMESPACE, name)
        start = perf_counter()
        await create_virtual_cluster(super_client, name)
        found: Object = {}

        async def is_ready() -> bool:
            found.update(decode_object(await super_client.get(VIRTUAL_CLUSTERS, key)))
            conditions = found.get("status", {}).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        await wait_for(f"the tenant {name} is ready", is_ready, TENANT_SECONDS)
        seconds = perf_counter() - start
        tenant_key = found["status"]["tenantKey"]
        secret = ObjectKey(tenant_key, api.ADMIN_KUBECONFIG_SECRET)
        data = decode_object(await super_client.get(SECRETS, secret))["data"]
        credentials = load_kubeconfig(base64.b64decode(data[api.KUBECONFIG_KEY]))
        return Tenant(
            name=name,
            key=tenant_key,
            client=Client(AiohttpTransport(FixedCredentials(credentials)), REQUEST_SECONDS),
            audit_log=self.state.directory / "tenants" / tenant_key / "logs" / "audit.log",
            ready_seconds=seconds,
        )

    async def calm(self) -> None:
        """Wait until the system is idle, for a bounded time; then go on all the same."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CALM_SECONDS):
                while True:
                    before, start = await self.usages(), perf_counter()
                    await asyncio.sleep(1)  # the interval that is measured
                    used = cpu_seconds(before, await self.usages())
                    if sum(used.values()) < CALM_CORES * (perf_counter() - start):
                        return

    @property
    def _supervisor(self) -> Supervisor:
        return Supervisor(self.state.supervisor_directory)

    def _lock(self) -> int:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / "bench.lock"
        if not path.exists() and any(self._directory.iterdir()):
            raise BenchError(f"--state-dir {self._directory} holds what is not the bench's")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise BenchError(f"another bench runs in {self._directory}") from error
        return descriptor

    def _vc(self, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "vc"), *arguments]
        done = subprocess.run(
            [*command, "--state-dir", str(self.state.directory)],
            capture_output=True,
            text=True,
            check=False,
            timeout=UP_SECONDS,
        )
        if done.returncode:
            raise BenchError(f"vc {' '.join(arguments)}: {done.stderr.strip()}")


async def create_virtual_cluster(super_client: Client, name: str) -> Object:
    """A tenant's object, in the namespace of all tenants; as it was made."""
    body: Object = {
        "apiVersion": api.API_VERSION,
        "kind": "VirtualCluster",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {},
    }
    key = ObjectKey(NAMESPACE, name)
    return decode_object(await super_client.create(VIRTUAL_CLUSTERS, key, encode(body)))


async def create_namespace(client: Client, name: str) -> None:
    """Create a namespace and wait for what pods in it need: its default service account."""
    body: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    with suppress(AlreadyExists):
        await client.create(NAMESPACES, ObjectKey("", name), encode(body))

    async def has_account() -> bool:
        try:
            await client.get(SERVICE_ACCOUNTS, ObjectKey(name, "default"))
        except NotFound:
            return False
        return True

    await wait_for(f"the namespace {name} has a service account", has_account, 30.0)


async def wait_for(what: str, condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Look again and again until ``condition``. Raises BenchError that names ``what``."""
    problem = ""
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    if await condition():
                        return
                except (ApiError, Unreachable, msgspec.MsgspecError) as error:
                    problem = f" ({error})"
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise BenchError(f"waited {seconds:.0f} s in vain until {what}{problem}") from error
