"""Several syncers hand out the same devices: no gang of any tenant ever hangs half placed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from kube.objects import Object, ObjectKey
from kube.resources import LEASES, NODES, PODS
from syncer.membership.turn import NAME, SEEN_ANNOTATION
from syncer.settings import Settings
from tests.builders import a_node, a_pod, with_metadata
from tests.fakes.faults import Hang, Slow
from tests.fakes.targets import Target
from tests.fakes.waiting import eventually
from tests.unit.syncer.test_members import holder, shared, spread
from tests.unit.syncer.world import TenantCluster, World
from vcluster import api

GPU = "nvidia.com/gpu"
NODES_WITH_GPUS, GPUS_EACH, SIZE = 3, 4, 4
PATIENT = {"request_timeout": 5.0}
"""Everything runs in this process, which may be slow."""
LEASE = ObjectKey(Settings().namespace, NAME)


def a_gpu_node(name: str) -> Object:
    node = a_node(name)
    capacity = {"cpu": "64", "memory": "256Gi", "pods": "110", GPU: str(GPUS_EACH)}
    return node | {"status": node["status"] | {"allocatable": capacity}}


def a_member(gang: str, index: int) -> Object:
    limits = {GPU: "1"}
    container = {"name": "main", "image": "i", "resources": {"limits": limits, "requests": limits}}
    marks = {api.GANG_ANNOTATION: gang, api.GANG_SIZE_ANNOTATION: str(SIZE)}
    return with_metadata(a_pod(f"{gang}-{index}", containers=[container]), annotations=marks)


class Devices:
    """The super cluster's GPUs: counts what was let down, and ends gangs that are all there."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.most = 0
        """The largest number of pods that wanted a GPU at one moment."""
        self.finished: Counter[str] = Counter()
        world.super.verbs.admission.append(self._count)

    def _live(self) -> list[Object]:
        return [
            pod
            for pod in self._world.super.objects(PODS)
            if api.DEVICES_LABEL in pod["metadata"]["labels"]
            and pod.get("status", {}).get("phase") != "Succeeded"
        ]

    def _count(self, target: Target, _obj: Object) -> None:
        if target.plural == "pods":
            self.most = max(self.most, len(self._live()) + 1)

    async def run(self) -> None:
        """Let each gang of which all pods are there do its work, one gang at a time."""
        while True:
            gangs = Counter(_gang(pod) for pod in self._live())
            whole = next((gang for gang, count in gangs.items() if count == SIZE), None)
            for pod in self._live():
                if _gang(pod) == whole:
                    metadata = pod["metadata"]
                    key = ObjectKey(metadata["namespace"], metadata["name"])
                    self._world.super.bind(PODS, key, "gpu-0")
                    self._world.super.patch(PODS, key, {"status": {"phase": "Succeeded"}}, "status")
                    self.finished[str(whole)] += 1
            await asyncio.sleep(0.02)


def _gang(pod: Object) -> str:
    metadata = pod["metadata"]
    return f"{metadata['namespace']} {metadata['annotations'][api.GANG_MARK_ANNOTATION]}"


@pytest.fixture
async def devices(world: World) -> AsyncIterator[Devices]:
    """Three nodes with four GPUs each."""
    for index in range(NODES_WITH_GPUS):
        world.super.create(NODES, a_gpu_node(f"gpu-{index}"))
    found = Devices(world)
    working = asyncio.create_task(found.run())
    yield found
    working.cancel()


@pytest.fixture
async def tenants(world: World, devices: Devices) -> list[TenantCluster]:
    """Six tenants, in different buckets."""
    return await spread(world)


def create_gangs(tenants: list[TenantCluster], *names: str) -> int:
    """Of each tenant, pod by pod in turn; how many gangs."""
    for name in names:
        for index in range(SIZE):
            for cluster in tenants:
                cluster.server.create(PODS, a_member(name, index))
    return len(names) * len(tenants)


async def all_finish(devices: Devices, gangs: int) -> None:
    """Wait until all gangs have ended; there never was one too many."""
    await eventually(
        lambda: len(devices.finished) == gangs and set(devices.finished.values()) == {SIZE},
        f"{gangs} gangs have ended",
        every=0.05,
    )
    assert devices.most <= NODES_WITH_GPUS * GPUS_EACH


async def test_no_gang_is_let_down_in_part_whoever_mirrors_its_tenant(
    world: World, devices: Devices, tenants: list[TenantCluster]
) -> None:
    for name in ("a", "b"):
        world.start_member(name, **PATIENT)
    await shared(world, "a", "b")
    assert {holder(world, cluster) for cluster in tenants} == {"a", "b"}
    world.super.script.add_for_good("POST", "/pods$", Slow(0.05))  # time to grant for both
    await all_finish(devices, create_gangs(tenants, "one", "two"))
    await eventually(
        lambda: world.super.live(LEASES, LEASE)["metadata"].get("annotations"),
        "the turn is given back, with what the next one has to have seen",
    )
    assert SEEN_ANNOTATION in world.super.live(LEASES, LEASE)["metadata"]["annotations"]


async def test_members_that_come_and_leave_meanwhile_change_nothing_of_that(
    world: World, devices: Devices, tenants: list[TenantCluster]
) -> None:
    world.start_member("a", **PATIENT)
    await shared(world, "a")
    gangs = create_gangs(tenants, "one")
    world.start_member("b", **PATIENT)
    await shared(world, "a", "b")
    await world.stop_syncer("a")
    gangs += create_gangs(tenants, "two")
    await all_finish(devices, gangs)


async def test_the_turn_of_a_member_that_died_is_taken_over(
    world: World, devices: Devices, tenants: list[TenantCluster]
) -> None:
    for name in ("a", "b", "c"):
        world.start_member(name, lease_seconds=6, request_timeout=3.0)
    await shared(world, "a", "b", "c")
    victim = holder(world, tenants[0])
    fault = world.super.script.add("POST", "/pods$", Hang())
    gangs = create_gangs(
        [cluster for cluster in tenants if holder(world, cluster) == victim], "one"
    )
    await eventually(lambda: fault.hits, "it creates a pod, and hears nothing")
    await world.kill_syncer(victim)
    fault.remove()
    assert world.super.live(LEASES, LEASE)["spec"]["holderIdentity"].startswith(f"{victim}/")
    gangs += create_gangs(tenants, "two")
    await all_finish(devices, gangs)
    last = world.super.live(LEASES, LEASE)["spec"].get("holderIdentity", "")
    assert not last.startswith(f"{victim}/")
