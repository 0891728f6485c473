"""Which nodes suit a pod, and whether all of a gang finds its place."""

from typing import Any

import pytest

from kube.objects import Object
from syncer.admission.nodes import NodeRoom, Wanted, device_room, place, placement, selects, suits

GPU = "nvidia.com/gpu"
TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
ANYWHERE = {"tolerations": [{"operator": "Exists"}]}


def a_room(name: str = "node-0", **spec: Any) -> NodeRoom:
    room = device_room(
        {
            "metadata": {"name": name, "labels": {"zone": "a", "size": "8"}},
            "spec": spec,
            "status": {"allocatable": {GPU: "4", "cpu": "8"}},
        }
    )
    assert room is not None
    return room


def required(*terms: Object) -> Object:
    needed = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return ANYWHERE | {"affinity": {"nodeAffinity": needed}}


def term(key: str, operator: str, *values: str, field: str = "matchExpressions") -> Object:
    return {field: [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, False),
        ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, True),
        ({"tolerations": [{"key": "gpu", "value": "yes"}]}, True),
        ({"tolerations": [{"key": "gpu", "value": "no"}]}, False),
        ({"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]}, False),
        (ANYWHERE | {"nodeSelector": {"zone": "a"}}, True),
        (ANYWHERE | {"nodeSelector": {"zone": "b"}}, False),
        (required(term("zone", "NotIn", "a")), False),
        (required(term("zone", "NotIn", "a"), term("zone", "In", "a")), True),
        (required(term("size", "Gt", "7")), True),
        (required(term("size", "Lt", "8")), False),
        (required(term("zone", "Gt", "7")), False),
        (required(term("zone", "Exists")), True),
        (required(term("zone", "DoesNotExist")), False),
        (required(term("metadata.name", "In", "node-0", field="matchFields")), True),
        (required(term("metadata.name", "In", "node-1", field="matchFields")), False),
    ],
)
def test_a_node_suits_a_pod(spec: Object, fits: bool) -> None:
    assert suits(a_room(taints=[TAINT]), placement(spec)) is fits


def test_nodes_without_devices_or_that_take_no_pods_do_not_count() -> None:
    assert device_room({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "8"}}}) is None
    cordoned = {"metadata": {"name": "n"}, "spec": {"unschedulable": True}}
    assert device_room(cordoned | {"status": {"allocatable": {GPU: "4"}}}) is None


def fits(*pods: dict[str, int]) -> bool:
    nodes = {name: a_room(name) for name in ("node-0", "node-1")}
    room = {name: {GPU: 4, "cpu": 8} for name in nodes}
    return place([Wanted(amounts, placement({})) for amounts in pods], nodes, room)


def test_the_largest_are_placed_first_and_all_resources_count() -> None:
    assert fits({GPU: 1}, {GPU: 4}, {GPU: 2}, {GPU: 1})
    assert not fits({GPU: 3}, {GPU: 3}, {GPU: 2})
    assert fits(*[{GPU: 1, "cpu": 4}] * 4)
    assert not fits(*[{GPU: 1, "cpu": 4}] * 5)
    assert not fits({GPU: 1, "other.example/device": 1})


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchLabels": {"app": "web"}, **term("tier", "Exists")}, False),
        (term("app", "In", "web", "db"), True),
        (term("app", "NotIn", "web"), False),
        (term("tier", "NotIn", "front"), True),
        (term("tier", "DoesNotExist"), True),
    ],
)
def test_a_label_selector_selects(selector: Object, matches: bool) -> None:
    assert selects(selector, {"app": "web"}) is matches
