"""Nodes, upward."""

import copy
import json
from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds import node
from syncer.kinds.mirror import KEYS_ANNOTATIONS, Recreate, Write
from syncer.kinds.node_taints import OF_NEW_NODES
from tests.unit.kinds.builders import ACME, SUPER_UID, live, merged, metadata
from vcluster import api

KIND = node.node_kind(api.NODE_AGENT_PORT)
RECORD = KEYS_ANNOTATIONS["taints"]
GPU = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}
MINE = {"key": "mine", "value": "1", "effect": "NoExecute"}
OF_A_NEW_NODE = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


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
            "taints": [GPU],
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
    wanted = KIND.to_tenant(source, ACME)
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


def test_agents_are_where_the_provider_says_unless_the_node_says_otherwise() -> None:
    moved, source = node.node_kind(api.KUBELET_PORT), a_node()
    wanted = moved.to_tenant(source, ACME)
    assert wanted is not None
    assert wanted["status"]["daemonEndpoints"] == {"kubeletEndpoint": {"Port": api.KUBELET_PORT}}
    assert moved.digest(source) != KIND.digest(source)
    source["metadata"]["annotations"][api.NODE_AGENT_ANNOTATION] = "127.0.0.1:15000"
    assert moved.to_tenant(source, ACME) == shown(source)
    source["metadata"]["annotations"][api.NODE_AGENT_ANNOTATION] = f":{api.KUBELET_PORT}"
    assert shown(source)["status"] == wanted["status"], (
        "a port alone is one of the node's own address"
    )


def test_an_agent_elsewhere_is_told_by_an_address_of_its_own() -> None:
    source = a_node()
    source["metadata"]["annotations"][api.NODE_AGENT_ANNOTATION] = "127.0.0.1:15000"
    status = shown(source)["status"]
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 15000}}
    assert status["addresses"] == [
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "NodeAgent", "address": "127.0.0.1"},
    ]
    assert KIND.digest(source) != KIND.digest(a_node())


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
    assert (KIND.to_tenant(a_node({"pool": "a"}), tenant) is not None) == visible


def test_a_heartbeat_writes_nothing() -> None:
    before = a_node(images=[{"names": ["a"]}])
    after = a_node(
        images=[{"names": ["b"]}],
        volumesInUse=["v"],
        conditions=[a_condition("2026-01-01T02:00:00Z")],
    )
    after["metadata"] |= {"annotations": {"changed": "1"}, "resourceVersion": "8"}
    assert KIND.digest(before) == KIND.digest(after)
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
    assert KIND.digest(a_node()) != KIND.digest(after)


def test_a_change_is_written_where_it_belongs() -> None:
    source = a_node(allocatable={"nvidia.com/gpu": "3"})
    source["spec"].pop("unschedulable")
    mirror = live(shown(a_node()))
    writes = node.patch(mirror, shown(source))
    record = {"annotations": {RECORD: f"{OF_NEW_NODES} nvidia.com/gpu:NoSchedule"}}
    assert writes == [
        Write("", {"spec": {"unschedulable": None}, "metadata": record | {"resourceVersion": "9"}}),
        Write("status", {"status": {"allocatable": {"nvidia.com/gpu": "3"}}}),
    ]
    for write in writes:
        mirror = merged(mirror, write.patch)
    assert node.patch(mirror, shown(source)) == []


def test_the_taint_that_an_api_server_gives_a_new_node_is_taken_off() -> None:
    untainted = a_node()
    del untainted["spec"]["taints"]
    mirror = live(shown(untainted))
    mirror["spec"] = mirror["spec"] | {"taints": [OF_A_NEW_NODE]}
    [write] = node.patch(mirror, shown(untainted))
    assert write.patch == {"spec": {"taints": None}, "metadata": {"resourceVersion": "9"}}


def test_the_tenants_own_labels_stay_and_those_of_the_node_go_with_it() -> None:
    mirror = live(shown(a_node({"old": "1"})))
    mirror["metadata"]["labels"] = mirror["metadata"]["labels"] | {"mine": "1"}
    [write] = node.patch(mirror, shown(a_node({"new": "1"})))
    labels = merged(mirror, write.patch)["metadata"]["labels"]
    assert labels == {"kubernetes.io/hostname": "gpu-1", "mine": "1", "new": "1"}


def with_spec(*taints: Object, unschedulable: bool = False) -> Object:
    """The provider's node with these taints, cordoned or not."""
    source = a_node()
    source["spec"] |= {"taints": list(taints), "unschedulable": unschedulable}
    return source


def after(live_node: Object, source: Object) -> Object:
    """The tenant's copy once the syncer has seen the provider's node."""
    for write in node.patch(live_node, shown(source)):
        live_node = merged(live_node, write.patch)
    assert node.patch(live_node, shown(source)) == [], "one look is enough"
    return live_node


def edited(live_node: Object, **spec: Any) -> Object:
    """The copy with what the tenant has written to it."""
    changed: Object = merged(live_node, {"spec": spec})
    return changed


def says(live_node: Object) -> tuple[list[Object], bool]:
    spec = live_node["spec"]
    return spec.get("taints") or [], bool(spec.get("unschedulable"))


def test_the_tenants_own_taints_stay_beside_the_providers_and_draw_no_write() -> None:
    mirror = edited(live(shown(with_spec(GPU))), taints=[MINE, GPU])
    assert node.patch(mirror, shown(with_spec(GPU))) == []
    both = {"key": "both", "effect": "NoExecute"}
    assert says(after(mirror, with_spec(GPU, both))) == ([MINE, GPU, both], False)
    assert says(after(mirror, with_spec())) == ([MINE], False)


@pytest.mark.parametrize(
    "taints", [[], [MINE], [GPU | {"value": "2"}], [GPU | {"effect": "PreferNoSchedule"}, MINE]]
)
def test_the_providers_taints_are_put_back_whatever_the_tenant_does(taints: list[Object]) -> None:
    mirror = edited(live(shown(with_spec(GPU))), taints=taints)
    found, _ = says(after(mirror, with_spec(GPU)))
    assert GPU in found
    own = [
        taint
        for taint in taints
        if (taint["key"], taint["effect"]) != ("nvidia.com/gpu", "NoSchedule")
    ]
    assert [taint for taint in found if taint != GPU] == own


def test_what_both_have_set_is_the_providers_and_stays_with_who_was_first() -> None:
    theirs, other = MINE | {"value": "2"}, {"key": "other", "effect": "NoSchedule"}
    first = edited(live(shown(with_spec())), taints=[MINE])
    shared = after(first, with_spec(theirs))
    assert says(shared) == ([theirs], False)
    assert says(after(shared, with_spec())) == ([theirs], False)
    later = after(edited(live(shown(with_spec(theirs))), taints=[theirs, other]), with_spec(theirs))
    assert says(after(later, with_spec())) == ([other], False)


def test_a_cordon_of_the_tenants_stays_and_that_of_the_provider_goes_with_it() -> None:
    free, cordoned = with_spec(), with_spec(unschedulable=True)
    own = edited(live(shown(free)), unschedulable=True)
    assert node.patch(own, shown(free)) == []
    assert says(after(after(own, cordoned), free))[1], "the tenant was first"
    providers = after(live(shown(free)), cordoned)
    assert says(providers)[1]
    assert says(after(edited(providers, unschedulable=None), cordoned))[1], "it is put back"
    assert not says(after(providers, free))[1]


@pytest.mark.parametrize("record", [None, ""])
def test_a_record_that_is_taken_away_or_emptied_hides_nothing_of_the_provider(
    record: str | None,
) -> None:
    mirror = merged(live(shown(with_spec(GPU))), {"metadata": {"annotations": {RECORD: record}}})
    found = after(edited(mirror, taints=[MINE]), with_spec(GPU, unschedulable=True))
    assert GPU in says(found)[0]
    assert says(found)[1]


def test_a_copy_of_an_earlier_version_without_a_record_shows_just_what_is() -> None:
    old = {"key": "old", "effect": "NoSchedule"}
    mirror = merged(live(shown(with_spec(old))), {"metadata": {"annotations": {RECORD: None}}})
    assert says(after(mirror, with_spec(GPU))) == ([GPU], False)


def test_the_taint_of_new_nodes_is_never_the_tenants() -> None:
    mirror = edited(live(shown(with_spec())), taints=[OF_A_NEW_NODE, MINE])
    assert says(after(mirror, with_spec())) == ([MINE], False)


def test_taints_are_not_written_over_what_the_tenant_writes_at_the_same_time() -> None:
    [write] = node.patch(live(shown(with_spec())), shown(with_spec(GPU)))
    assert write.patch["metadata"]["resourceVersion"] == "9", (
        "else a new taint of its would be lost"
    )


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
    KIND.digest(source)
    assert source == before
