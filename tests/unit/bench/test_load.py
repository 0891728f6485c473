"""Pods are created, watched and deleted at a fake API server, on one clock."""

from functools import partial

import pytest

from kube.client import Client, Patch
from kube.objects import ObjectKey, encode
from kube.resources import NAMESPACES, PODS
from tests.bench import load, watching
from tests.bench.load import Target
from tests.bench.phases import measured
from tests.bench.processes import SYNCER, Usage, Usages
from tests.bench.watching import Moments, PodWatch


@pytest.fixture
async def target(client: Client) -> Target:
    """A namespace of the fake."""
    body = encode({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}})
    await client.create(NAMESPACES, ObjectKey("", "bench"), body)
    return Target(client, PodWatch(client), "bench")


async def run_pod(client: Client, key: ObjectKey) -> None:
    """Do the kubelet's part."""
    await client.patch(PODS, key, Patch.MERGE, encode({"status": {"phase": "Running"}}), "status")


def is_running(moments: Moments) -> bool:
    """For watching.missing."""
    return moments.running is not None


async def test_moments_come_in_their_order(client: Client, target: Target) -> None:
    async with watching.following([target.watch]):
        [pod] = load.spread([target], "pod", 1)
        await load.burst([pod])
        await run_pod(client, pod.key)
        assert await watching.missing([pod.seen], is_running, 60) == 0
        await load.delete([pod])
        assert await watching.missing([pod.seen], lambda seen: seen.gone is not None, 60) == 0
    moments = pod.moments
    assert moments.sent is not None
    assert moments.added is not None
    assert moments.running is not None
    assert moments.gone is not None
    assert moments.sent < moments.added <= moments.running <= moments.gone
    assert moments.create_to_running == moments.running - moments.sent


async def test_what_did_not_run_is_counted(client: Client, target: Target) -> None:
    async with watching.following([target.watch]):
        pods = load.spread([target], "pod", 3)
        await load.burst(pods)
        await run_pod(client, pods[0].key)
        await target.watch.until(lambda: is_running(pods[0].moments))
        assert await watching.missing([pod.seen for pod in pods], is_running, 0.05) == 2


async def test_a_refused_pod_is_told_and_stops_nothing(client: Client, target: Target) -> None:
    pods = load.spread([target, Target(client, target.watch, "nowhere")], "pod", 2)
    await load.burst(pods)
    assert pods[0].uid
    assert not pods[0].error
    assert not pods[1].uid
    assert "nowhere" in pods[1].error


async def test_pods_are_spread_over_targets_in_turn(target: Target) -> None:
    other = Target(target.client, target.watch, "other")
    pods = load.spread([target, other], "pod", 5)
    assert [pod.target.namespace for pod in pods] == ["bench", "other"] * 2 + ["bench"]
    assert len({pod.key for pod in pods}) == 5


async def test_a_pace_is_kept(target: Target) -> None:
    pods = load.spread([target], "pod", 10)
    await load.paced(pods, 100.0)
    first, last = pods[0].moments.sent, pods[-1].moments.sent
    assert first is not None
    assert last is not None
    assert last - first >= 0.09 - 0.002  # a timer may come early by its clock's resolution


async def test_a_load_is_measured_from_its_creation_to_its_end(
    client: Client, target: Target
) -> None:
    cpu = iter([1.0, 1.5, 3.0])

    async def measure() -> Usages:
        return {1: Usage(SYNCER, 1, next(cpu), 0, 0)}

    async def create(pods: list[load.Pod]) -> None:
        await load.burst(pods)
        for pod in pods:
            await run_pod(client, pod.key)

    async with watching.following([target.watch]):
        pods = load.spread([target], "pod", 4)
        result = await measured("burst", pods, partial(create), measure)
    assert (result.not_running, result.refused, result.stuck, result.restarted) == (0, 0, 0, [])
    assert len(result.latencies) == 4
    assert result.cpu_running == {SYNCER: 0.5}
    assert result.cpu_ms_per_pod(SYNCER) == 500.0
    assert result.pods_per_second > 0
    assert result.first < result.last
