"""What a kubelet would answer to a pod that names its node, by the words of the scheduler."""

from typing import Any

import pytest

from kube.objects import Object
from syncer.admission.rejection import AFFINITY, PORTS, rejection
from tests.builders import a_node, a_pod, with_metadata

FREE = "0/3 nodes are available: "
OTHERS = ", 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
NEVER = " preemption: not eligible due to preemptionPolicy=Never."
GONE = " preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 ..."
SSD = {"disk": "ssd"}


def a_worker(**spec: Any) -> Object:
    requests = {"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": "2"}
    container = {"name": "main", "image": "i", "resources": {"requests": requests}}
    return a_pod(**{"containers": [container], "nodeName": "node-1"} | spec)


def the_node(**labels: str) -> Object:
    node = with_metadata(a_node(), labels=labels)
    room = {"cpu": "4", "memory": "8Gi", "pods": "110", "nvidia.com/gpu": "1"}
    return node | {"status": {"allocatable": room}}


def required(**labels: str) -> Object:
    terms = [
        {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
        for key, value in labels.items()
    ]
    chosen = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"nodeAffinity": chosen}


@pytest.mark.parametrize(
    ("said", "reason", "message"),
    [
        (f"1 {PORTS}{OTHERS}{NEVER}", "NodePorts", f"Predicate NodePorts failed: {PORTS}"),
        (
            f"1 Insufficient cpu{OTHERS}{GONE}",
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 1500, capacity: 4000",
        ),
        (
            "1 Insufficient memory.",
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 1073741824, capacity: 8589934592",
        ),
        (
            "1 Insufficient nvidia.com/gpu.",
            "OutOfnvidia.com/gpu",
            "Node didn't have enough resource: nvidia.com/gpu, requested: 2, capacity: 1",
        ),
        (
            f"1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods{OTHERS}",
            "OutOfpods",
            "Node didn't have enough resource: pods, requested: 1, capacity: 110",
        ),
    ],
)
def test_lack_of_ports_and_room_is_told_as_kubelets_do(
    said: str, reason: str, message: str
) -> None:
    found = rejection(FREE + said, a_worker(), the_node())
    assert found is not None
    assert (found.reason, found.message) == (reason, message)


def test_of_several_lacks_the_kubelets_first_is_told() -> None:
    said = "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient nvidia.com/gpu."
    found = rejection(said, a_worker(), the_node())
    assert found is not None
    assert found.reason == "OutOfcpu"


def test_overhead_counts() -> None:
    pod = a_worker(overhead={"cpu": "250m"})
    found = rejection("1 Insufficient cpu.", pod, the_node())
    assert found is not None
    assert "requested: 1750," in found.message


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": SSD},
        {"affinity": required(**SSD)},
        {"nodeSelector": SSD, "affinity": required(zone="a")},
    ],
)
@pytest.mark.parametrize("said", [f"1 {AFFINITY}{OTHERS}", "pod affinity terms conflict." + NEVER])
def test_a_node_that_the_pod_itself_excludes(said: str, spec: Object) -> None:
    pod = a_worker(**spec)
    found = rejection(FREE + said, pod, the_node(disk="hdd"))
    assert found is not None
    assert found.reason == "NodeAffinity"
    assert found.message == f"Predicate NodeAffinity failed: {AFFINITY}"
    # The scheduler may know the tenant's own labels late: what counts is what the node has now.
    assert rejection(FREE + said, pod, the_node(disk="ssd", zone="a")) is None


def test_either_term_of_an_affinity_is_enough() -> None:
    pod = a_worker(affinity=required(disk="ssd", zone="a"))
    assert rejection(AFFINITY, pod, the_node(zone="a")) is None


@pytest.mark.parametrize(
    "said",
    [
        "",
        f"1 {AFFINITY}.",
        "1 node(s) had untolerated taint(s), 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
        "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
        "1 node(s) were unschedulable.",
        "3 node(s) didn't satisfy plugin(s) [NodeAffinity].",
        "1 node(s) didn't find available persistent volumes to bind.",
        "1 Insufficient example.com/fpga.",
        "words of a scheduler to come",
    ],
)
def test_for_anything_else_the_pod_waits(said: str) -> None:
    assert rejection(FREE + said, a_worker(), the_node()) is None


def test_a_node_that_says_nothing_of_its_room_fails_nobody() -> None:
    assert rejection("1 Too many pods, 1 Insufficient cpu.", a_worker(), a_node()) is None


def test_for_a_critical_pod_room_is_made_but_no_ports() -> None:
    pod = a_worker(priority=2_000_000_000)
    assert rejection("1 Insufficient cpu.", pod, the_node()) is None
    found = rejection(f"1 {PORTS}.", pod, the_node())
    assert found is not None
    assert found.reason == "NodePorts"
