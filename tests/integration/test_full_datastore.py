"""A tenant that fills its share of etcd stops at the limit; it can delete, and then write again."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from os import urandom
from pathlib import Path

import pytest

from kube.resources import CONFIG_MAPS, EVENTS, NAMESPACES, Resource
from tests.integration.operator_process import OperatorProcess
from tests.integration.super_cluster import SuperCluster
from tests.integration.virtual_clusters import TenantUnderTest, create
from tests.integration.waiting import eventually
from vcluster.api import Object
from vcluster.control_plane.cluster import ApiError, Cluster

pytestmark = pytest.mark.integration

OBJECTS, SIZE = 1000, 8 * 2**20
WRITERS = 16
LATE = 8  # times the limit: far below what the writers try, whatever else keeps the machine from answering


@pytest.fixture(scope="module")
def tenant(super_cluster: SuperCluster, operator: OperatorProcess) -> Iterator[TenantUnderTest]:
    created = create(
        super_cluster, "greedy", quota={"datastore": {"objects": OBJECTS, "size": "8Mi"}}
    )
    created.wait_until_ready()
    yield created
    created.delete()
    created.wait_until_gone()


@pytest.fixture
def greedy(tenant: TenantUnderTest, tmp_path: Path) -> Iterator[Cluster]:
    """Its administrator. In the end there is room again."""
    cluster = tenant.cluster(tmp_path)
    eventually(
        "there is room", lambda: tenant.condition("DatastoreHasRoom").get("status") == "True"
    )
    yield cluster
    for resource in (CONFIG_MAPS, EVENTS):
        delete_all(cluster, resource)
    eventually(
        "writes work again", lambda: cluster.create(CONFIG_MAPS, config_map("after")) or True
    )
    cluster.delete(CONFIG_MAPS, "after", "default")
    cluster.close()


def config_map(name: str, size: int = 10) -> Object:
    """Of random text: no compression helps."""
    text = b64encode(urandom(size * 3 // 4)).decode()
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": text}}


def event(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {"namespace": "default"},
        "reason": "Flood",
    }


def flood(cluster: Cluster, resource: Resource, obj: Callable[[str], Object], most: int) -> int:
    """Create as fast as possible until refused; how many were taken."""
    names = count()

    def write(_: int) -> int:
        for taken in range(most):
            try:
                cluster.create(resource, obj(f"flood-{next(names)}"))
            except ApiError as error:
                if error.status != 403 or "its share" not in str(error):
                    raise
                return taken
        return most

    with ThreadPoolExecutor(WRITERS) as writers:
        return sum(writers.map(write, range(WRITERS)))


def delete_all(cluster: Cluster, resource: Resource) -> None:
    with ThreadPoolExecutor(WRITERS) as writers:
        names = [item["metadata"]["name"] for item in cluster.list(resource, "default")]
        list(writers.map(lambda name: cluster.delete(resource, name, "default"), names))


def stored(tenant: TenantUnderTest) -> list[int]:
    """The bytes of each of its objects, as etcd itself tells."""
    prefix = f"/{tenant.key}/"
    answer = tenant.super_cluster.etcdctl("get", prefix, "--prefix", "-w", "fields").stdout
    return [len(line) for line in answer.splitlines() if line.startswith('"Value"')]


@pytest.mark.parametrize(
    ("resource", "make"), [(CONFIG_MAPS, config_map), (EVENTS, event)], ids=["configmaps", "events"]
)
def test_a_flood_of_objects_ends_at_the_limit(
    tenant: TenantUnderTest, greedy: Cluster, resource: Resource, make: Callable[[str], Object]
) -> None:
    flood(greedy, resource, make, OBJECTS)
    assert OBJECTS <= len(stored(tenant)) <= OBJECTS * LATE
    eventually("told", lambda: tenant.condition("DatastoreHasRoom").get("reason") == "Full")


def test_a_flood_of_large_objects_ends_at_the_limit(
    tenant: TenantUnderTest, greedy: Cluster
) -> None:
    doomed = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed"}}
    greedy.create(NAMESPACES, doomed)
    taken = flood(greedy, CONFIG_MAPS, partial(config_map, size=2**20), 100)
    assert taken <= SIZE / 2**20 * LATE
    eventually("told", lambda: tenant.condition("DatastoreHasRoom").get("status") == "False")
    greedy.delete(NAMESPACES, "doomed")
    eventually("a namespace goes, with all its steps", lambda: not greedy.get(NAMESPACES, "doomed"))
