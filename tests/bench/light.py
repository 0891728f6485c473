"""Tenants whose API servers are fakes: as many as memory and cores have no room for real ones.

What the syncer and the super cluster do for them is real, and so is what they see. ``python -m
tests.bench.light NUMBER`` serves them from a process of its own: it says where, creates pods in all of
them when it is told to, and ends with its input.
"""

import asyncio
import json
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import yaml

from kube.client import Client, Patch
from kube.connection import Credentials, FixedCredentials
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS
from kube.transport import AiohttpTransport
from tests.bench.load import pod_body
from tests.bench.system import NAMESPACE as TENANTS
from tests.bench.system import REQUEST_SECONDS, VIRTUAL_CLUSTERS, System, create_namespace, wait_for
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.faults import Call
from tests.fakes.targets import Target
from vcluster import api
from vcluster.local.components import GROUP, OPERATOR
from vcluster.supervision import Supervisor

NAMESPACE = "default"
BURST, TELL = "burst", "tell"
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

    async def tell(self) -> None:
        """Let how many of all pods run be printed."""
        await self._say(f"{TELL} 0")

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
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    urls = json.loads(await process.stdout.readline())
    telling = asyncio.create_task(_pass_on(process.stdout))
    try:
        for index, url in enumerate(urls):
            await _register(super_client, f"{prefix}-{index}", index, url)
        for index in range(number):
            await _is_mirrored(super_client, f"{prefix}-{index}")
        yield LightTenants(process, [_client(url) for url in urls])
    finally:
        process.kill()
        await process.wait()
        await telling


async def _pass_on(lines: asyncio.StreamReader) -> None:
    while line := await lines.readline():
        print(line.decode(), end="", flush=True)


def _client(url: str) -> Client:
    credentials = FixedCredentials(Credentials(server=url, ca=b""))
    return Client(AiohttpTransport(credentials), REQUEST_SECONDS)


async def _register(super_client: Client, name: str, index: int, url: str) -> None:
    """Do what the operator does for a tenant, but for its control plane."""
    await create_namespace(super_client, TENANTS)
    key = ObjectKey(TENANTS, name)
    body: Object = {
        "apiVersion": api.API_VERSION,
        "kind": "VirtualCluster",
        "metadata": {"name": name, "namespace": TENANTS},
        "spec": {},
    }
    made = decode_object(await super_client.create(VIRTUAL_CLUSTERS, key, encode(body)))
    tenant_key = api.tenant_key(name, made["metadata"]["uid"])
    root = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tenant_key}}
    await super_client.create(NAMESPACES, ObjectKey("", tenant_key), encode(root))
    secret = ObjectKey(tenant_key, api.SYNCER_KUBECONFIG_SECRET)
    await super_client.create(SECRETS, secret, encode(_kubeconfig(secret, url)))
    status = {"tenantKey": tenant_key, "serviceCIDR": f"10.{200 + len(name) % 20}.{index}.0/24"}
    patch = encode({"status": status})
    await super_client.patch(VIRTUAL_CLUSTERS, key, Patch.MERGE, patch, "status")


def _kubeconfig(key: ObjectKey, url: str) -> Object:
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "c", "user": {}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {api.COMPONENT_LABEL: "kubeconfig"},
        },
        "data": {api.KUBECONFIG_KEY: b64encode(yaml.safe_dump(config).encode()).decode()},
    }


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
    while line := await reader.readline():
        word, pods = line.decode().split()
        if word == BURST:
            await _burst(servers, int(pods))
        else:
            _tell(servers)


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


async def _burst(servers: Sequence[FakeApiServer], pods: int) -> None:
    start = monotonic()
    for index in range(pods):
        for server in servers:
            server.create(PODS, decode_object(pod_body(NAMESPACE, f"loud-{index}", "pause:3.10")))
        await asyncio.sleep(0)
    print(
        f"loud: {pods * len(servers)} pods were there after {monotonic() - start:.1f} s", flush=True
    )


def _tell(servers: Sequence[FakeApiServer]) -> None:
    phases = [pod["status"].get("phase") for server in servers for pod in server.objects(PODS)]
    print(f"loud: {phases.count('Running')} of {len(phases)} pods run", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
