"""Tenants whose API servers are fakes: as many as memory and cores have no room for real ones.

What the syncer and the super cluster do for them is real, and so is what they see. ``python -m
tests.bench.light NUMBER`` serves them from a process of its own: it says where, creates pods in all of
them when it is told to, and ends with its input.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from kube.client import Client, Patch
from kube.connection import Credentials, FixedCredentials
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS
from kube.transport import AiohttpTransport
from tests.bench.load import pod_body
from tests.bench.system import NAMESPACE as TENANTS
from tests.bench.system import (
    REQUEST_SECONDS,
    VIRTUAL_CLUSTERS,
    System,
    create_namespace,
    create_virtual_cluster,
    wait_for,
)
from tests.builders import a_kubeconfig_secret, a_namespace
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Call
from tests.fakes.targets import Target
from vcluster import api
from vcluster.local.components import GROUP, OPERATOR
from vcluster.supervision import Supervisor

NAMESPACE = "default"
SERVICE_RANGE = "10.255.0.0/24"
"""Of all: none has Services."""
BURST, COUNT = "burst", "count"
TOKEN_VOLUME = {
    "name": "kube-api-access",
    "projected": {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {
                "configMap": {
                    "name": api.ROOT_CA_CONFIG_MAP,
                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                }
            },
        ],
    },
}
"""What a real API server adds to each pod: it costs the syncer a token and a Secret."""
MOUNT = {"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
SYNC_SECONDS = 60.0


class _Nothing(list[Call]):
    """Remembers no request: there are hundreds of thousands."""

    def append(self, _call: Call) -> None:
        """Forget it."""


class LightTenants:
    """Some tenants of the syncer's, and the process that serves their API servers."""

    def __init__(self, process: asyncio.subprocess.Process, clients: Sequence[Client]) -> None:
        self._process = process
        self.clients = clients

    async def burst(self, pods: int) -> None:
        """Create so many in each at once."""
        await self._say(f"{BURST} {pods}")

    async def running(self) -> str:
        """How soon all pods were there, and how many of them run, as a sentence."""
        await self._say(COUNT)
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()


def without_operator(system: System) -> None:
    """It would give each tenant a control plane of its own."""
    Supervisor(system.state.supervisor_directory).stop(GROUP, OPERATOR)


@asynccontextmanager
async def served(super_client: Client, prefix: str, number: int) -> AsyncIterator[LightTenants]:
    """So many light tenants, mirrored, for this block. The operator must not run."""
    command = (sys.executable, "-m", "tests.bench.light", str(number))
    pipe = asyncio.subprocess.PIPE
    await create_namespace(super_client, TENANTS)
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        urls = json.loads(await process.stdout.readline())
        tenants = {f"{prefix}-{index}": url for index, url in enumerate(urls)}
        for name, url in tenants.items():
            await _register(super_client, name, url)
        for name in tenants:
            await _is_mirrored(super_client, name)
        yield LightTenants(process, [_client(url) for url in urls])
    finally:
        process.kill()
        await process.wait()


def _client(url: str) -> Client:
    credentials = FixedCredentials(Credentials(server=url, ca=b""))
    return Client(AiohttpTransport(credentials), REQUEST_SECONDS)


async def _register(super_client: Client, name: str, url: str) -> None:
    """Do what the operator does for a tenant, but for its control plane."""
    made = await create_virtual_cluster(super_client, name)
    tenant_key = api.tenant_key(name, made["metadata"]["uid"])
    root = encode(a_namespace(tenant_key))
    await super_client.create(NAMESPACES, ObjectKey("", tenant_key), root)
    secret = ObjectKey(tenant_key, api.SYNCER_KUBECONFIG_SECRET)
    await super_client.create(SECRETS, secret, encode(a_kubeconfig_secret(secret, url)))
    patch = encode({"status": {"tenantKey": tenant_key, "serviceCIDR": SERVICE_RANGE}})
    key = ObjectKey(TENANTS, name)
    await super_client.patch(VIRTUAL_CLUSTERS, key, Patch.MERGE, patch, "status")


async def _is_mirrored(super_client: Client, name: str) -> None:
    key = ObjectKey(TENANTS, name)

    async def synced() -> bool:
        found = decode_object(await super_client.get(VIRTUAL_CLUSTERS, key))
        conditions = found.get("status", {}).get("conditions", [])
        return any(c["type"] == api.Condition.SYNCING and c["status"] == "True" for c in conditions)

    await wait_for(f"the tenant {name} is mirrored", synced, SYNC_SECONDS)


async def _serve(number: int) -> None:
    servers = [await _started() for _ in range(number)]
    print(json.dumps([server.url for server in servers]), flush=True)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    took = 0.0
    while line := await reader.readline():
        match line.decode().split():
            case [word, pods] if word == BURST:
                took = await _burst(servers, int(pods))
            case _:
                phases = [
                    pod["status"].get("phase") for one in servers for pod in one.objects(PODS)
                ]
                count = f"{phases.count('Running')} of {len(phases)} pods run"
                print(f"all were there after {took:.1f} s; {count}", flush=True)


async def _started() -> FakeApiServer:
    server = FakeApiServer()
    server.script.log = _Nothing()
    await server.start()
    named = {"namespace": NAMESPACE}
    server.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"} | named})
    authority = {"metadata": {"name": api.ROOT_CA_CONFIG_MAP} | named, "data": {"ca.crt": "none"}}
    server.create(CONFIG_MAPS, authority)
    server.verbs.admission.append(_with_token)
    return server


def _with_token(target: Target, obj: Object) -> None:
    if target.plural == "pods":
        obj["spec"]["serviceAccountName"] = "default"
        obj["spec"]["volumes"] = [TOKEN_VOLUME]
        for container in obj["spec"]["containers"]:
            container["volumeMounts"] = [MOUNT]


async def _burst(servers: Sequence[FakeApiServer], pods: int) -> float:
    """Creates them; the seconds that it took."""
    start = monotonic()
    for index in range(pods):
        for server in servers:
            server.create(PODS, decode_object(pod_body(NAMESPACE, f"loud-{index}", "pause:3.10")))
        await asyncio.sleep(0)
    return monotonic() - start


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
