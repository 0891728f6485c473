"""What a pod counts for: the rules of ResourceQuota."""

from typing import Any

import pytest

from kube.objects import Object
from kube.quantities import NANOS, nanos
from syncer.admission.pod_usage import devices, pod_usage, unnamed
from tests.builders import a_pod

GPU = "nvidia.com/gpu"


def a_container(name: str = "main", *, sidecar: bool = False, **requests: str) -> Object:
    container: Object = {"name": name, "resources": {"requests": requests}}
    return container | ({"restartPolicy": "Always"} if sidecar else {})


def cpu(pod: Object, key: str = "requests.cpu", **more: Any) -> int:
    return pod_usage(pod, **more).get(key, 0) // 10**6


def test_every_key() -> None:
    resources = {
        "requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "2Gi", GPU: "1"},
        "limits": {"cpu": "1", "memory": "2Gi", "hugepages-2Mi": "4Mi", GPU: "1"},
    }
    pod = a_pod(containers=[{"name": "main", "resources": resources}])
    assert pod_usage(pod) == {
        "count/pods": NANOS,
        "pods": NANOS,
        "cpu": nanos("500m"),
        "requests.cpu": nanos("500m"),
        "limits.cpu": nanos(1),
        "memory": nanos("1Gi"),
        "requests.memory": nanos("1Gi"),
        "limits.memory": nanos("2Gi"),
        "ephemeral-storage": nanos("2Gi"),
        "requests.ephemeral-storage": nanos("2Gi"),
        "hugepages-2Mi": nanos("4Mi"),
        "requests.hugepages-2Mi": nanos("4Mi"),
        f"requests.{GPU}": NANOS,
    }


@pytest.mark.parametrize(
    ("first", "milli"),
    [
        ([a_container("init", cpu="700m")], 700),
        ([a_container("init", cpu="100m")], 300),
        ([a_container("proxy", sidecar=True, cpu="100m")], 400),
        ([a_container("proxy", sidecar=True, cpu="100m"), a_container("init", cpu="500m")], 600),
        ([a_container("init", cpu="500m"), a_container("proxy", sidecar=True, cpu="100m")], 500),
    ],
)
def test_init_containers_and_sidecars(first: list[Object], milli: int) -> None:
    containers = [a_container("one", cpu="100m"), a_container("two", cpu="200m")]
    assert cpu(a_pod(containers=containers, initContainers=first)) == milli


def test_pod_level_resources_replace_the_sum() -> None:
    pod = a_pod(
        containers=[{"name": "main", "resources": {"requests": {"cpu": "300m", GPU: "1"}}}],
        resources={"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
    )
    assert (cpu(pod), cpu(pod, "limits.cpu")) == (1000, 2000)
    assert pod_usage(pod)[f"requests.{GPU}"] == NANOS


def test_overhead_is_the_super_clusters() -> None:
    pod = a_pod(containers=[a_container(cpu="300m")], overhead={"cpu": "1"})
    assert cpu(pod) == 1300
    assert cpu(pod, overhead={"cpu": "50m"}) == 350
    assert cpu(pod, "limits.cpu", overhead={"cpu": "50m"}) == 0  # no limit, nothing added


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_only_counts_as_an_object(phase: str) -> None:
    pod = a_pod(containers=[a_container(cpu="300m")]) | {"status": {"phase": phase}}
    assert pod_usage(pod) == {"count/pods": NANOS}


def a_resized(spec: str, allocated: str, actual: str, reason: str = "") -> Object:
    conditions = [{"type": "PodResizePending", "reason": reason}] if reason else []
    shown = {
        "name": "main",
        "allocatedResources": {"cpu": allocated},
        "resources": {"requests": {"cpu": actual}},
    }
    pod = a_pod(containers=[a_container(cpu=spec)])
    return pod | {"status": {"containerStatuses": [shown], "conditions": conditions}}


@pytest.mark.parametrize(
    ("pod", "milli"),
    [
        (a_resized("2", "1", "1"), 2000),  # on the way up
        (a_resized("1", "1", "2"), 2000),  # on the way down: not given back yet
        (a_resized("1", "1", "1"), 1000),
        (a_resized("8", "1", "1", "Deferred"), 8000),
        (a_resized("8", "1", "1", "Infeasible"), 1000),
    ],
)
def test_a_resize_counts_the_greatest_of_what_may_be_held(pod: Object, milli: int) -> None:
    assert cpu(pod) == milli


def test_a_quota_of_cpu_wants_cpu_named() -> None:
    pod = a_pod(containers=[a_container("one", cpu="1"), a_container("two")])
    hard = {"requests.cpu": 1, "limits.memory": 1, "pods": 1, f"requests.{GPU}": 1}
    assert unnamed(pod, hard) == "limits.memory for one, two; requests.cpu for two"
    assert unnamed(pod, {"pods": 1}) == ""
    assert unnamed(a_pod(resources={"requests": {"cpu": "1"}}), hard) == ""


def test_devices() -> None:
    with_gpu = {"name": "main", "resources": {"limits": {GPU: "2", "cpu": "1"}}}
    assert devices(a_pod(containers=[with_gpu])) == {GPU: 2 * NANOS}
    assert devices(a_pod(containers=[a_container(cpu="1")])) == {}
