"""The fake API server of the unit tests answers as a real one does: one script, two transcripts."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from kube.client import Client, Patch
from kube.connection import KubeconfigFile
from kube.errors import AlreadyExists, ApiError
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import CONFIG_MAPS, NAMESPACES, PODS, SERVICE_ACCOUNTS
from kube.transport import AiohttpTransport
from tests.builders import a_config_map, a_pod, with_metadata
from tests.conftest import client_of
from tests.fakes.apiserver import FakeApiServer
from tests.integration.super_cluster import SuperCluster

pytestmark = pytest.mark.integration

GATED: Object = {"schedulingGates": [{"name": "example.com/wait"}]}
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}


class Desk:
    """One API server in one namespace, and what it answered."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.transcript: list[Any] = []

    def key(self, name: str) -> ObjectKey:
        return ObjectKey(self.namespace, name)

    def config_map(self, name: str = "settings", **data: str) -> Object:
        return a_config_map(name, self.namespace, **data)

    def pod(self, **spec: Any) -> Object:
        return a_pod(namespace=self.namespace, **(GATED | spec))

    async def ask(self, answer: Awaitable[bytes]) -> Object:
        """Note down the error, or that there is none."""
        try:
            obj = decode_object(await answer)
        except ApiError as error:
            self.transcript.append((type(error).__name__, error.status, error.reason))
            return {}
        self.transcript.append((obj.get("kind"), obj.get("status", {}) == "Success"))
        return obj

    async def patch(self, name: str, patch: Any, how: Patch = Patch.MERGE, sub: str = "") -> Object:
        return await self.ask(
            self.client.patch(CONFIG_MAPS, self.key(name), how, encode(patch), sub)
        )

    async def patch_pod(self, patch: Any, how: Patch = Patch.MERGE, sub: str = "") -> Object:
        return await self.ask(self.client.patch(PODS, self.key("web"), how, encode(patch), sub))

    def note(self, *facts: Any) -> None:
        self.transcript.append(facts)


Script = Callable[[Desk], Coroutine[Any, Any, None]]
SCRIPTS: list[Script] = []


def script(function: Script) -> Script:
    SCRIPTS.append(function)
    return function


@script
async def creations(desk: Desk) -> None:
    client, body = desk.client, encode(desk.config_map(a="b"))
    created = await desk.ask(client.create(CONFIG_MAPS, desk.key(""), body))
    desk.note(sorted(created), sorted(set(created["metadata"]) - {"managedFields"}))
    await desk.ask(client.create(CONFIG_MAPS, desk.key(""), body))
    elsewhere = ObjectKey("no-such-namespace", "")
    body = encode({"metadata": {"name": "a"}})
    await desk.ask(client.create(CONFIG_MAPS, elsewhere, body))
    for metadata in (
        {"name": "Not Valid"},
        {"name": "x", "namespace": "other"},
        {"name": "x", "labels": {"a": "v" * 64}},
        {"name": "x", "labels": {"a": "-"}},
        {"name": "x", "annotations": {"a": "v" * 300_000}},
        {},
    ):
        await desk.ask(client.create(CONFIG_MAPS, desk.key(""), encode({"metadata": metadata})))
    generated = encode({"metadata": {"generateName": "made-"}})
    made = await desk.ask(client.create(CONFIG_MAPS, desk.key(""), generated))
    desk.note(made["metadata"]["name"].startswith("made-"), len(made["metadata"]["name"]))


@script
async def updates(desk: Desk) -> None:
    client = desk.client
    old = await desk.ask(
        client.create(CONFIG_MAPS, desk.key(""), encode(desk.config_map(a="b", c="d")))
    )
    version = old["metadata"]["resourceVersion"]
    same = await desk.ask(client.update(CONFIG_MAPS, desk.key("settings"), encode(old)))
    desk.note("no new version", same["metadata"]["resourceVersion"] == version)
    same = await desk.patch("settings", {"data": {"a": "b"}})
    desk.note("no new version", same["metadata"]["resourceVersion"] == version)
    new = await desk.patch("settings", {"data": {"a": "x", "c": None}})
    desk.note(new["data"], new["metadata"]["resourceVersion"] != version)
    await desk.ask(client.update(CONFIG_MAPS, desk.key("settings"), encode(old)))
    await desk.ask(client.update(CONFIG_MAPS, desk.key("missing"), encode(old)))
    await desk.ask(
        client.update(CONFIG_MAPS, desk.key("missing"), encode(desk.config_map("missing")))
    )
    await desk.patch("settings", {"metadata": {"resourceVersion": version}, "data": {"a": "y"}})
    await desk.patch("settings", {"metadata": {"uid": str(uuid.UUID(int=1))}})
    await desk.patch("missing", {"data": {"a": "y"}})
    for operations in (
        [{"op": "test", "path": "/data/a", "value": "no"}],
        [{"op": "test", "path": "/metadata/uid", "value": new["metadata"]["uid"]}],
        [{"op": "replace", "path": "/data/missing", "value": "x"}],
        [{"op": "remove", "path": "/data/missing"}],
        [
            {"op": "add", "path": "/metadata/annotations", "value": {}},
            {"op": "add", "path": "/metadata/annotations/example.com~1x", "value": "y"},
        ],
    ):
        await desk.patch("settings", operations, Patch.JSON)
    applied = await desk.patch("applied", desk.config_map("applied", a="b", c="d"), Patch.APPLY)
    desk.note(applied["data"])
    applied = await desk.patch("applied", desk.config_map("applied", a="b"), Patch.APPLY)
    desk.note(applied["data"])


@script
async def deletions(desk: Desk) -> None:
    client = desk.client
    made = await desk.ask(client.create(CONFIG_MAPS, desk.key(""), encode(desk.config_map())))
    uid, name = made["metadata"]["uid"], desk.key("settings")
    await desk.ask(client.delete(CONFIG_MAPS, name, uid=str(uuid.UUID(int=1))))
    await desk.ask(client.delete(CONFIG_MAPS, name, uid=uid))
    await desk.ask(client.delete(CONFIG_MAPS, name, uid=uid))
    kept = with_metadata(desk.config_map("kept"), finalizers=["example.com/keep"])
    made = await desk.ask(client.create(CONFIG_MAPS, desk.key(""), encode(kept)))
    await desk.ask(client.delete(CONFIG_MAPS, desk.key("kept"), uid=made["metadata"]["uid"]))
    seen = await desk.ask(client.get(CONFIG_MAPS, desk.key("kept")))
    desk.note("deletionTimestamp" in seen["metadata"])
    await desk.patch("kept", {"metadata": {"finalizers": None}})
    await desk.ask(client.get(CONFIG_MAPS, desk.key("kept")))


@script
async def pods(desk: Desk) -> None:
    client, web = desk.client, desk.key("web")
    pod = await desk.ask(client.create(PODS, desk.key(""), encode(desk.pod())))
    desk.note(pod["metadata"]["generation"], pod["status"]["phase"], pod["spec"]["restartPolicy"])
    changed = await desk.patch_pod({"metadata": {"labels": {"a": "b"}}})
    desk.note(changed["metadata"]["generation"])
    await desk.patch_pod({"spec": {"hostNetwork": True}})
    await desk.patch_pod({"spec": {"nodeName": "somewhere"}})
    await desk.patch_pod({"spec": {"schedulingGates": [{"name": "example.com/another"}]}})
    image = {"spec": {"containers": [{"name": "main", "image": "example.com/main:2"}]}}
    changed = await desk.patch_pod(image, Patch.STRATEGIC)
    desk.note(changed["metadata"]["generation"], changed["spec"]["containers"][0]["image"])
    changed = await desk.patch_pod({"status": {"phase": "Running"}})
    desk.note(changed["status"]["phase"])
    status = {"status": {"message": "hello"}, "spec": {"hostNetwork": True}}
    changed = await desk.patch_pod(status, sub="status")
    desk.note(changed["status"]["message"], changed["spec"].get("hostNetwork"))
    for sub in ("", "status"):
        await desk.patch_pod({"metadata": {"uid": str(uuid.UUID(int=1))}}, sub=sub)
    stale = changed | {"metadata": changed["metadata"] | {"uid": str(uuid.UUID(int=1))}}
    await desk.ask(client.update(PODS, web, encode(stale)))
    await desk.patch_pod([{"op": "test", "path": "/metadata/uid", "value": "x"}], Patch.JSON)
    for name, named in (("web", "web"), ("missing", "web"), ("missing", "missing")):
        binding = encode({"metadata": {"name": named}, "target": {"kind": "Node", "name": "node"}})
        await desk.ask(client.create(PODS, desk.key(name), binding, "binding"))
    await desk.ask(client.delete(PODS, web, uid=pod["metadata"]["uid"]))
    await desk.ask(client.get(PODS, web))
    await desk.ask(
        client.create(PODS, desk.key(""), encode(a_pod(namespace=desk.namespace) | {"spec": {}}))
    )


@script
async def tokens(desk: Desk) -> None:
    client = desk.client
    for account, seconds, bound in (
        ("default", 3600, None),
        ("default", 60, None),
        ("missing", 3600, None),
        ("default", 3600, "missing"),
    ):
        spec: Object = {"expirationSeconds": seconds, "audiences": ["a"]}
        if bound:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": bound}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": spec,
        }
        body = encode(request)
        found = await desk.ask(client.create(SERVICE_ACCOUNTS, desk.key(account), body, "token"))
        desk.note(sorted(found.get("status", {})))


@script
async def lists(desk: Desk) -> None:
    client = desk.client
    for number in range(5):
        made = with_metadata(desk.config_map(f"c-{number}", a="b"), labels={"n": str(number)})
        await client.create(CONFIG_MAPS, desk.key(""), encode(made))
    for selector in ("n", "n=1", "n in (1,3)", "n notin (1,3),n!=2", "!n", "n,n!=0"):
        names = [
            decode_object(bytes(item))["metadata"]["name"]
            async for page in client.pages(
                CONFIG_MAPS, namespace=desk.namespace, label_selector=selector, limit=2
            )
            for item in page.items or ()
        ]
        desk.note(selector, sorted(name for name in names if name.startswith("c-")))
    for partial in (False, True):
        pages = client.pages(
            CONFIG_MAPS,
            namespace=desk.namespace,
            field_selector="metadata.name=c-1",
            metadata_only=partial,
        )
        page = await anext(pages)
        item = decode_object(bytes((page.items or [])[0]))
        desk.note(sorted(item))
    one = decode_object(await client.get(CONFIG_MAPS, desk.key("c-1"), metadata_only=True))
    desk.note(one["kind"], one["apiVersion"], sorted(one))


@script
async def watches(desk: Desk) -> None:
    client, seen = desk.client, []
    made = with_metadata(desk.config_map(a="b"), labels={"of": desk.namespace})
    first = decode_object(await client.create(CONFIG_MAPS, desk.key(""), encode(made)))

    async def follow() -> None:
        version = first["metadata"]["resourceVersion"]
        selector = f"of={desk.namespace}"
        async for batch in client.watch(CONFIG_MAPS, version, label_selector=selector):
            for event in batch:
                obj = decode_object(bytes(event.object))
                seen.append((event.type, obj["metadata"]["name"], sorted(obj), obj.get("data")))
            if len(seen) >= 6:
                return

    for patch in (
        {"data": {"a": "c"}},
        {"metadata": {"labels": {"of": "others"}}, "data": {"a": "hidden"}},
        {"data": {"a": "unseen"}},
        {"metadata": {"labels": {"of": desk.namespace}}},
    ):
        await desk.patch("settings", patch)
    await client.create(
        CONFIG_MAPS, desk.key(""), encode(made | {"metadata": made["metadata"] | {"name": "b"}})
    )
    for uid, name in ((first["metadata"]["uid"], "settings"),):
        await client.delete(CONFIG_MAPS, desk.key(name), uid=uid)
    second = decode_object(await client.get(CONFIG_MAPS, desk.key("b")))
    await client.delete(CONFIG_MAPS, desk.key("b"), uid=second["metadata"]["uid"])
    async with asyncio.timeout(120):
        await follow()
    desk.transcript += seen


@pytest.fixture
async def real(super_cluster: SuperCluster) -> AsyncIterator[Client]:
    """A client of the real super cluster, as its administrator."""
    client = Client(AiohttpTransport(KubeconfigFile(super_cluster.kubeconfig("admin"))), 60.0)
    yield client
    await client.close()


@pytest.fixture
async def fake() -> AsyncIterator[Client]:
    """A client of a fake."""
    server = FakeApiServer()
    await server.start()
    client = client_of(server)
    yield client
    await client.close()
    await server.stop()


@pytest.mark.parametrize("play", SCRIPTS, ids=lambda play: play.__name__)
async def test_the_fake_answers_as_a_real_api_server_does(
    play: Script, real: Client, fake: Client
) -> None:
    transcripts = []
    for client in (real, fake):
        name = f"fake-{uuid.uuid4().hex[:8]}"
        namespace = decode_object(
            await client.create(NAMESPACES, ObjectKey("", ""), encode({"metadata": {"name": name}}))
        )
        with contextlib.suppress(AlreadyExists):  # the real one's controller may be quicker
            await client.create(SERVICE_ACCOUNTS, ObjectKey(name, ""), encode(ACCOUNT))
        desk = Desk(client, name)
        await play(desk)
        await client.delete(NAMESPACES, ObjectKey("", name), uid=namespace["metadata"]["uid"])
        transcripts.append([str(line).replace(name, "NAMESPACE") for line in desk.transcript])
    assert transcripts[1] == transcripts[0]
