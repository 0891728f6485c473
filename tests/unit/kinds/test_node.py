"""Nodes, upward."""

import copy
import json
from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds import node
from syncer.kinds.mirror import Recreate, Write
from tests.unit.kinds.builders import ACME, SUPER_UID, live, merged, metadata
from vcluster import api


def a_node(labels: dict[str, str] | None = None, **status: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata(
            "gpu-1",
            uid=SUPER_UID,
            labels={"kubernetes.io/hostname": "gpu-1"} | (labels or {}),
            annotations={"csi.volume.kubernetes.io/nodeid": "{}"},
        ),
        "spec": {
            "podCIDR": "10.244.1.0/24",
            "podCIDRs": ["10.244.1.0/24"],
            "providerID": "kind://gpu-1",
            "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
            "unschedulable": True,
            "novel": 1,
        },
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "allocatable": {"nvidia.com/gpu": "4"},
            "capacity": {"nvidia.com/gpu": "4"},
            "conditions": [a_condition()],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {"kubeletVersion": "v1.37.2"},
            "futureField": {"x": 1},
            **status,
        },
    }


def a_condition(heartbeat: str = "2026-01-01T01:00:00Z", **fields: str) -> Object:
    return {
        "type": "Ready",
        "status": "True",
        "lastHeartbeatTime": heartbeat,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        **fields,
    }


def shown(source: Object) -> Object:
    wanted = node.to_tenant(source, ACME)
    assert wanted is not None
    return wanted


def test_a_node_is_shown_as_it_is() -> None:
    source, wanted = a_node(), shown(a_node())
    assert wanted["spec"] == source["spec"]
    for field in ("addresses", "allocatable", "capacity", "nodeInfo"):
        assert wanted["status"][field] == source["status"][field]
    assert wanted["status"]["futureField"] == {"x": 1}
    assert wanted["metadata"]["labels"] == {"kubernetes.io/hostname": "gpu-1"}
    assert wanted["metadata"]["annotations"][api.UID_ANNOTATION] == SUPER_UID


def test_tenants_find_the_nodes_agent_and_never_its_kubelet() -> None:
    endpoints = shown(a_node())["status"]["daemonEndpoints"]
    assert endpoints == {"kubeletEndpoint": {"Port": api.NODE_AGENT_PORT}}


def test_an_agent_elsewhere_is_told_by_an_address_of_its_own() -> None:
    source = a_node()
    source["metadata"]["annotations"][api.NODE_AGENT_ANNOTATION] = "127.0.0.1:15000"
    status = shown(source)["status"]
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 15000}}
    assert status["addresses"] == [
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "NodeAgent", "address": "127.0.0.1"},
    ]
    assert node.node_digest(source) != node.node_digest(a_node())


def test_what_other_tenants_do_on_it_is_not() -> None:
    theirs = {
        "images": [{"names": ["registry.example.com/globex"]}],
        "volumesInUse": ["globex"],
        "volumesAttached": [{"name": "globex"}],
        "config": {"error": "globex"},
    }
    source = a_node({"virtualcluster.dev/tenant": "globex-deadbeef"}, **theirs)
    source["metadata"]["annotations"]["note"] = "globex"
    assert "globex" not in json.dumps(shown(source))


@pytest.mark.parametrize(
    ("selector", "visible"),
    [({}, True), ({"pool": "a"}, True), ({"pool": "b"}, False), ({"pool": "a", "x": "y"}, False)],
)
def test_the_selector_decides_what_a_tenant_sees(selector: dict[str, str], visible: bool) -> None:
    tenant = msgspec.structs.replace(ACME, node_selector=selector)
    assert (node.to_tenant(a_node({"pool": "a"}), tenant) is not None) == visible


def test_a_heartbeat_writes_nothing() -> None:
    before = a_node(images=[{"names": ["a"]}])
    after = a_node(
        images=[{"names": ["b"]}],
        volumesInUse=["v"],
        conditions=[a_condition("2026-01-01T02:00:00Z")],
    )
    after["metadata"] |= {"annotations": {"changed": "1"}, "resourceVersion": "8"}
    assert node.node_digest(before) == node.node_digest(after)
    assert node.patch(shown(before), shown(after)) == []


@pytest.mark.parametrize(
    "after",
    [
        a_node({"new": "label"}),
        a_node(capacity={"nvidia.com/gpu": "3"}),
        a_node(conditions=[a_condition(status="False")]),
        a_node(conditions=[a_condition(lastTransitionTime="2026-01-01T03:00:00Z")]),
        a_node() | {"spec": {"taints": []}},
    ],
)
def test_any_other_change_does(after: Object) -> None:
    assert node.node_digest(a_node()) != node.node_digest(after)


def test_a_change_is_written_where_it_belongs() -> None:
    source = a_node(allocatable={"nvidia.com/gpu": "3"})
    source["spec"].pop("unschedulable")
    mirror = live(shown(a_node()))
    writes = node.patch(mirror, shown(source))
    assert writes == [
        Write("", {"spec": {"unschedulable": None}}),
        Write("status", {"status": {"allocatable": {"nvidia.com/gpu": "3"}}}),
    ]
    for write in writes:
        mirror = merged(mirror, write.patch)
    assert node.patch(mirror, shown(source)) == []


def test_the_taint_that_an_api_server_gives_a_new_node_is_taken_off() -> None:
    untainted = a_node()
    del untainted["spec"]["taints"]
    mirror = live(shown(untainted))
    mirror["spec"] = mirror["spec"] | {
        "taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    }
    assert node.patch(mirror, shown(untainted)) == [Write("", {"spec": {"taints": None}})]


def test_the_tenants_own_labels_stay_and_those_of_the_node_go_with_it() -> None:
    mirror = live(shown(a_node({"old": "1"})))
    mirror["metadata"]["labels"] = mirror["metadata"]["labels"] | {"mine": "1"}
    [write] = node.patch(mirror, shown(a_node({"new": "1"})))
    labels = merged(mirror, write.patch)["metadata"]["labels"]
    assert labels == {"kubernetes.io/hostname": "gpu-1", "mine": "1", "new": "1"}


def test_a_node_that_the_tenant_made_itself_is_left_alone() -> None:
    assert node.patch(a_node(), shown(a_node({"new": "1"}))) == []


def test_what_never_changes_in_place_needs_a_new_node() -> None:
    moved = a_node()
    moved["spec"]["podCIDRs"] = ["10.244.2.0/24"]
    with pytest.raises(Recreate):
        node.patch(live(shown(a_node())), shown(moved))


def test_what_a_node_is_given_later_does_not() -> None:
    early = a_node()
    for field in ("podCIDR", "podCIDRs", "providerID"):
        del early["spec"][field]
    [write] = node.patch(live(shown(early)), shown(a_node()))
    assert write.patch["spec"]["providerID"] == "kind://gpu-1"


def test_the_input_is_left_alone() -> None:
    source = a_node(images=[])
    before = copy.deepcopy(source)
    shown(source)
    node.node_digest(source)
    assert source == before
