"""Pods that come, change and go, whatever happens to the API servers meanwhile."""

import asyncio
from dataclasses import dataclass
from random import Random

from kube.client import Client, Patch
from kube.errors import AlreadyExists, NotFound
from kube.objects import Object, ObjectKey, decode_head, encode
from kube.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS, Resource
from tests.chaos.clusters import DEPLOYMENTS, insist
from tests.e2e.local_system import LocalSystem, TenantCluster
from tests.e2e.objects import deployment, pod

NAMESPACE = "load"
RUN_SECONDS = "simulation.virtualcluster.dev/run-seconds"
STEADY = "steady"
STEADY_REPLICAS = 3
DELETIONS_AT_ONCE = 40


@dataclass(frozen=True)
class Life:
    """What happens to one pod; times in seconds, each from the step before."""

    name: str
    spec: Object
    born_after: float
    labelled_after: float | None
    deleted_after: float | None


def lives(count: int, seconds: float, random: Random, prefix: str = "pod") -> list[Life]:
    """Random lives that begin within ``seconds``: about half of the pods are there at the end."""
    return [
        Life(
            name=f"{prefix}-{index}",
            spec=_spec(index, prefix),
            born_after=random.uniform(0, seconds),
            labelled_after=random.choice([None, random.uniform(0, 3)]),
            deleted_after=random.choice([None, None, 0.0, random.uniform(0, 4)]),
        )
        for index in range(count)
    ]


async def prepare(client: Client) -> None:
    """A namespace, what its pods name, and a deployment whose pods nothing may disturb."""
    await _ensure(client, NAMESPACES, "", {"metadata": {"name": NAMESPACE}})
    data = {"metadata": {"name": "settings"}, "data": {"colour": "blue"}}
    await _ensure(client, CONFIG_MAPS, NAMESPACE, data)
    secret = {"metadata": {"name": "password"}, "data": {"value": "c2VjcmV0"}}
    await _ensure(client, SECRETS, NAMESPACE, secret)
    await _ensure(client, DEPLOYMENTS, "default", deployment(STEADY, STEADY_REPLICAS))


async def live(client: Client, plan: list[Life]) -> None:
    """All of these lives at once; returns when the last step of each was accepted."""
    async with asyncio.TaskGroup() as tasks:
        for life in plan:
            tasks.create_task(_live(client, life))


async def clear(client: Client, prefix: str = "") -> None:
    """Delete the pods of the load that are there."""
    keys: list[ObjectKey] = []
    async for page in client.pages(PODS, namespace=NAMESPACE):
        found = [decode_head(item).metadata for item in page.items or ()]
        keys += [ObjectKey(NAMESPACE, item.name) for item in found if item.name.startswith(prefix)]
    rest = iter(keys)

    async def work() -> None:
        for key in rest:
            await delete(client, key)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(DELETIONS_AT_ONCE):
            tasks.create_task(work())


async def create(client: Client, name: str, spec: Object, run_seconds: int = 0) -> None:
    """Create a pod of the load; one with ``run_seconds`` ends by itself, that long after its start."""
    body = pod(name, **spec)
    body["metadata"] |= {"labels": {"app": "load", "version": "first"}}
    if run_seconds:
        body["metadata"]["annotations"] = {RUN_SECONDS: str(run_seconds)}
        body["metadata"]["labels"]["ends"] = "yes"
    await _ensure(client, PODS, NAMESPACE, body)


def take_away(local: LocalSystem, tenant: TenantCluster) -> None:
    """The super cluster removes the pods of the load that do not end: the tenant is to be told of each."""
    own = ("-n", tenant.super_namespace(NAMESPACE), "-l", "app=load,!ends")
    local.super.kubectl("delete", "pods", *own, "--wait=false")


async def delete(client: Client, key: ObjectKey) -> None:
    """Delete a pod with its own grace period; it may be gone already."""
    try:
        head = decode_head(await insist(f"read {key}", lambda: client.get(PODS, key)))
        uid = head.metadata.uid
        await insist(f"delete {key}", lambda: client.delete(PODS, key, uid=uid))
    except NotFound:
        pass


async def _live(client: Client, life: Life) -> None:
    key = ObjectKey(NAMESPACE, life.name)
    await asyncio.sleep(life.born_after)
    await create(client, life.name, life.spec)
    if life.labelled_after is not None:
        await asyncio.sleep(life.labelled_after)
        patch = encode({"metadata": {"labels": {"version": "second", "changed": "yes"}}})
        await insist(f"label {key}", lambda: client.patch(PODS, key, Patch.MERGE, patch))
    if life.deleted_after is not None:
        await asyncio.sleep(life.deleted_after)
        await delete(client, key)


async def _ensure(client: Client, resource: Resource, namespace: str, obj: Object) -> None:
    name = obj["metadata"]["name"]
    try:
        await insist(
            f"create {name}",
            lambda: client.create(resource, ObjectKey(namespace, name), encode(obj)),
        )
    except AlreadyExists:
        pass  # created by a request whose answer was lost


def _spec(index: int, prefix: str) -> Object:
    """Every third pod names a config map and a secret, on demand in the super cluster."""
    if index % 3:
        return {}
    sources = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "password"}}]
    return {"containers": [{"name": "main", "image": prefix, "envFrom": sources}]}
