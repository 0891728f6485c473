"""Objects at the edge of what an API server accepts: they go down like others, and stop nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from kube.client import Client, Patch
from kube.errors import AlreadyExists
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import CONFIG_MAPS, NAMESPACES, PODS
from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.clusters import connected, insist
from tests.chaos.pace import until_running
from tests.e2e.local_system import TenantCluster
from tests.e2e.objects import pod
from tests.faults.system import FaultSystem
from vcluster import api

MOST_DATA = 1 << 20
"""Of a ConfigMap, in bytes: the API server refuses more."""
LONGEST_NAME, LONGEST_NAMESPACE = 253, 63
CONTAINERS = 300
PATIENCE = 60.0


def large() -> list[tuple[str, Object]]:
    """A pod that names a config map as large as can be."""
    config_map = {"metadata": {"name": "large"}, "data": {"all": "x" * (MOST_DATA - 10)}}
    source = {"configMapRef": {"name": "large"}}
    containers = [{"name": "main", "image": "demo", "envFrom": [source]}]
    return [("", config_map), ("", pod("of-the-large", containers=containers))]


def crowded() -> list[tuple[str, Object]]:
    """A pod of very many containers."""
    containers = [{"name": f"c-{number}", "image": "demo"} for number in range(CONTAINERS)]
    return [("", pod("crowded", containers=containers))]


def long_named() -> list[tuple[str, Object]]:
    """A pod, and a namespace with one, whose names are as long as can be."""
    namespace = "n" * LONGEST_NAMESPACE
    return [
        ("", pod("p" * LONGEST_NAME)),
        ("", {"metadata": {"name": namespace}, "kind": "Namespace"}),
        (namespace, pod("p" * LONGEST_NAME)),
    ]


@pytest.mark.parametrize("objects", [large(), crowded(), long_named()], ids=["1 MiB", "300", "253"])
async def test_the_largest_objects_go_down_as_any(
    system: FaultSystem,
    victims: list[TenantCluster],
    beside: TenantCluster,
    objects: list[tuple[str, Object]],
) -> None:
    async with connected(victims[0]) as client_a, connected(beside) as client_b:
        await load.prepare(client_a)
        await load.prepare(client_b)
        pods = []
        for namespace, obj in objects:
            key = ObjectKey(namespace or load.NAMESPACE, obj["metadata"]["name"])
            await _create(client_a, key, obj)
            if obj.get("kind") == "Pod":
                pods.append(key)
        await until_running(client_b, "neighbour")
        for key in pods:
            await _phase(client_a, key, "Running")
        await both_sides_agree(system.local, victims[0])
        await load.clear(client_a)
        await load.clear(client_b)
        for _, obj in objects:
            if obj.get("kind") == "Namespace":
                key = ObjectKey("", obj["metadata"]["name"])
                uid = decode_object(await client_a.get(NAMESPACES, key))["metadata"]["uid"]
                await client_a.delete(NAMESPACES, key, uid=uid)
    await both_sides_agree(system.local, victims[0], beside)


async def test_a_phase_that_nobody_knows_goes_up_and_stops_nothing(
    system: FaultSystem, victims: list[TenantCluster]
) -> None:
    local = system.local
    async with connected(victims[0]) as client, connected(local.super) as super_client:
        await load.prepare(client)
        await until_running(client, "odd")
        key = ObjectKey(load.NAMESPACE, "odd")
        below = ObjectKey(api.super_namespace(victims[0].key, load.NAMESPACE), "odd")
        for phase in ("Levitating", "Running"):
            patch = encode({"status": {"phase": phase}})
            await super_client.patch(PODS, below, Patch.MERGE, patch, "status")
            await _phase(client, key, phase)
        await until_running(client, "after")
        await load.clear(client)
    await both_sides_agree(system.local, victims[0])


async def _create(client: Client, key: ObjectKey, obj: Object) -> None:
    resource = {"Pod": PODS, "Namespace": NAMESPACES}.get(obj.get("kind", ""), CONFIG_MAPS)
    where = ObjectKey("" if resource is NAMESPACES else key.namespace, key.name)
    try:
        await insist(
            f"create {key}", partial(client.create, resource, where, encode(obj)), PATIENCE
        )
    except AlreadyExists:
        pass  # of an earlier try


async def _phase(client: Client, key: ObjectKey, phase: str) -> None:
    async with _named(f"{key.name[:20]} is {phase}"):
        while True:
            found = decode_object(await client.get(PODS, key))
            if found.get("status", {}).get("phase") == phase:
                return
            await asyncio.sleep(0.05)  # between two looks


@asynccontextmanager
async def _named(what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE:g} s in vain: {what}") from None
