"""What claims for devices count for: the rules of ResourceQuota, whichever way a device is asked for."""

from typing import Any

import pytest

from kube.objects import Object
from kube.quantities import NANOS
from kube.resources import RESOURCE_CLAIMS
from syncer.admission.device_usage import MOST_DEVICES, claim_usage, extended_usage
from syncer.admission.object_usage import object_usage
from syncer.admission.pod_usage import devices, pod_usage
from tests.unit.kinds.pod_builders import a_pod

GPU = "gpu.deviceclass.resource.k8s.io/devices"
NIC = "nic.deviceclass.resource.k8s.io/devices"
IMPLICIT = "requests.deviceclass.resource.kubernetes.io/gpu"


def exactly(device_class: str = "gpu", **fields: Any) -> Object:
    return {"name": "r", "exactly": {"deviceClassName": device_class, **fields}}


def a_claim(*requests: Object) -> Object:
    return {"spec": {"devices": {"requests": list(requests)}}}


def counted(claim: Object) -> dict[str, int]:
    """In devices, by the keys of classes."""
    usage = claim_usage(claim, {})
    return {key: amount // NANOS for key, amount in usage.items() if key.endswith("/devices")}


@pytest.mark.parametrize(
    ("requests", "wanted"),
    [
        ([exactly(count=2), exactly(count=3), exactly("nic")], {GPU: 5, NIC: 1}),
        ([exactly(allocationMode="ExactCount", count=2)], {GPU: 2}),
        ([exactly(allocationMode="All")], {GPU: MOST_DEVICES}),
        ([exactly(allocationMode="SomeNewMode", count=1)], {GPU: MOST_DEVICES}),
        (
            [{"firstAvailable": [
                {"deviceClassName": "gpu", "count": 2},
                {"deviceClassName": "gpu", "count": 4},
                {"deviceClassName": "nic", "count": 1},
            ]}, exactly(count=1)],
            {GPU: 5, NIC: 1},
        ),
    ],
)  # fmt: skip
def test_the_devices_of_all_requests_and_of_alternatives_the_most(
    requests: list[Object], wanted: dict[str, int]
) -> None:
    assert counted(a_claim(*requests)) == wanted


def test_a_claim_counts_for_the_resource_of_its_class_too() -> None:
    used = object_usage(RESOURCE_CLAIMS, a_claim(exactly(count=2)), {"gpu": "nvidia.com/gpu"})
    assert used == {
        "count/resourceclaims.resource.k8s.io": NANOS,
        GPU: 2 * NANOS,
        IMPLICIT: 2 * NANOS,
        "requests.nvidia.com/gpu": 2 * NANOS,
    }


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "deviceclass.resource.kubernetes.io/gpu"])
def test_a_pod_that_asks_by_a_resource_counts_for_the_class_too(resource: str) -> None:
    container = {
        "name": "main",
        "resources": {"limits": {resource: "2"}, "requests": {resource: "2"}},
    }
    used = pod_usage(a_pod(containers=[container]), extended={"gpu": "nvidia.com/gpu"})
    for key in (GPU, IMPLICIT, "requests.nvidia.com/gpu"):
        assert used[key] == 2 * NANOS


def test_a_resource_that_stands_for_no_class_counts_for_itself_alone() -> None:
    assert (
        extended_usage({"example.com/fpga": NANOS, "cpu": NANOS}, {"gpu": "nvidia.com/gpu"}) == {}
    )


def test_devices_that_no_node_has_are_left_to_the_scheduler() -> None:
    limits = {"deviceclass.resource.kubernetes.io/gpu": "2", "example.com/fpga": "1"}
    container = {"name": "main", "resources": {"limits": limits, "requests": limits}}
    assert devices(a_pod(containers=[container])) == {"example.com/fpga": NANOS}


def test_a_name_that_stands_for_two_classes_counts_once_for_itself() -> None:
    extended = {"gpu": "nvidia.com/gpu", "mig": "nvidia.com/gpu"}
    asked = {"nvidia.com/gpu": 2 * NANOS, "deviceclass.resource.kubernetes.io/mig": NANOS}
    used = extended_usage(asked, extended)
    assert used["requests.nvidia.com/gpu"] == 3 * NANOS
    assert used[GPU] == 2 * NANOS
    assert used["mig.deviceclass.resource.k8s.io/devices"] == 3 * NANOS
