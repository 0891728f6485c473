"""What pods ask of labels that the tenant gave to nodes: the super cluster is asked for names instead."""

from typing import Any

import msgspec
import pytest

from kube.objects import Metadata, Object
from syncer.kinds.mirror import KEYS_ANNOTATIONS
from syncer.kinds.node_labels import HOSTNAME, NodeLabels, by_name, node_labels
from syncer.kinds.pod import to_super
from tests.unit.kinds.builders import ACME
from tests.unit.kinds.pod_builders import OFFERS, a_pod
from vcluster import api

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
IN_ZONE = {"key": "zone", "operator": "In", "values": ["a"]}


def a_shown_node(name: str, **own: str) -> Metadata:
    """A virtual node in zone ``a``, with labels that the tenant has added."""
    given = {HOSTNAME: name, "zone": "a"}
    marks = {api.UID_ANNOTATION: "u", KEYS_ANNOTATIONS["labels"]: " ".join(sorted(given))}
    return Metadata(name=name, labels=given | own, annotations=marks)


NODES = node_labels(
    [
        a_shown_node("one", disk="ssd", rank="1"),
        a_shown_node("two", disk="ssd", rank="2"),
        a_shown_node("three"),
    ],
    ACME,
)


def placed(nodes: NodeLabels = NODES, **spec: Any) -> Any:
    wanted: Object = by_name(to_super(a_pod(**spec), ACME, OFFERS), nodes)
    return wanted["spec"]


def terms(nodes: NodeLabels = NODES, **spec: Any) -> Any:
    return placed(nodes, **spec)["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]


def named(*names: str, operator: str = "In") -> Object:
    return {"key": HOSTNAME, "operator": operator, "values": list(names)}


def requiring(*requirements: Object) -> Object:
    return {
        "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [*requirements]}]}}
    }


def test_a_selector_of_the_tenants_own_label_names_the_nodes_that_have_it() -> None:
    spec = placed(nodeSelector={"disk": "ssd", "zone": "a"})
    assert spec["nodeSelector"] == {"zone": "a"}
    assert terms(nodeSelector={"disk": "ssd", "zone": "a"}) == [
        {"matchExpressions": [named("one", "two")]}
    ]
    assert "nodeSelector" not in placed(nodeSelector={"disk": "ssd"})


def test_a_selector_narrows_each_alternative_and_an_empty_one_goes_on_to_mean_no_node() -> None:
    alternatives = [{"matchExpressions": [IN_ZONE]}, {}]
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": alternatives}}}
    assert terms(nodeSelector={"rank": "2"}, affinity=affinity) == [
        {"matchExpressions": [IN_ZONE, named("two")]},
        {},
    ]


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ({"key": "rank", "operator": "In", "values": ["1", "7"]}, [named("one")]),
        ({"key": "rank", "operator": "Exists"}, [named("one", "two")]),
        ({"key": "rank", "operator": "Gt", "values": ["1"]}, [named("two")]),
        ({"key": "rank", "operator": "Lt", "values": ["2"]}, [named("one")]),
        ({"key": "disk", "operator": "Gt", "values": ["1"]}, None),
        ({"key": "disk", "operator": "In", "values": ["tape"]}, None),
    ],
)
def test_each_operator_means_what_the_scheduler_means(
    requirement: Object, expected: list[Object] | None
) -> None:
    found = terms(affinity=requiring(requirement, IN_ZONE))
    assert found == [{"matchExpressions": [*(expected or [requirement]), IN_ZONE]}]


@pytest.mark.parametrize("operator", ["NotIn", "DoesNotExist"])
def test_a_label_to_be_avoided_names_the_nodes_that_have_it_and_stays_for_the_others(
    operator: str,
) -> None:
    values = {"values": ["1"]} if operator == "NotIn" else {}
    requirement = {"key": "rank", "operator": operator, **values}
    avoided = named("one", operator="NotIn") if values else named("one", "two", operator="NotIn")
    assert terms(affinity=requiring(requirement)) == [{"matchExpressions": [requirement, avoided]}]


def test_wishes_are_translated_too() -> None:
    wish = {"key": "disk", "operator": "In", "values": ["ssd"]}
    preferred = [{"weight": 5, "preference": {"matchExpressions": [wish]}}]
    spec = placed(affinity={"nodeAffinity": {PREFERRED: preferred}, "podAffinity": {"x": 1}})
    assert spec["affinity"]["nodeAffinity"][PREFERRED] == [
        {"weight": 5, "preference": {"matchExpressions": [named("one", "two")]}}
    ]
    assert spec["affinity"]["podAffinity"] == {"x": 1}


def test_what_does_not_ask_for_such_a_label_passes_unchanged_and_bears_no_mark() -> None:
    for spec in ({}, {"nodeSelector": {"zone": "a"}}, {"affinity": requiring(IN_ZONE)}):
        wanted = to_super(a_pod(**spec), ACME, OFFERS)
        assert by_name(wanted, NODES) == wanted


def test_the_mark_tells_other_nodes_apart() -> None:
    wanted = to_super(a_pod(nodeSelector={"disk": "ssd"}), ACME, OFFERS)
    fewer = node_labels([a_shown_node("one", disk="ssd"), a_shown_node("two")], ACME)
    marks = {
        by_name(wanted, nodes)["metadata"]["annotations"].get(api.NODE_LABELS_ANNOTATION)
        for nodes in (NODES, fewer, NodeLabels())
    }
    assert len(marks) == 3
    assert None in marks


def test_a_node_that_the_tenant_has_invented_or_renamed_is_not_asked_for() -> None:
    invented = Metadata(name="mine", labels={HOSTNAME: "mine", "disk": "ssd"})
    marks = {api.UID_ANNOTATION: "u", KEYS_ANNOTATIONS["labels"]: "zone"}
    renamed = Metadata(name="x", labels={HOSTNAME: "x", "disk": "ssd"}, annotations=marks)
    nodes = node_labels([invented, renamed, a_shown_node("one", disk="ssd")], ACME)
    assert terms(nodes, nodeSelector={"disk": "ssd"}) == [{"matchExpressions": [named("one")]}]


def test_forged_marks_do_not_lead_out_of_the_nodes_that_a_tenant_is_confined_to() -> None:
    pooled = msgspec.structs.replace(ACME, node_selector={"pool": "gpu"})
    marks = {api.UID_ANNOTATION: "u", KEYS_ANNOTATIONS["labels"]: HOSTNAME}
    labels = {HOSTNAME: "another-tenants", "pool": "gpu", "disk": "ssd"}
    forged = Metadata(name="another-tenants", labels=labels, annotations=marks)
    wanted = to_super(a_pod(nodeSelector={"disk": "ssd", "pool": "gpu"}), pooled, OFFERS)
    spec = by_name(wanted, node_labels([forged], pooled))["spec"]
    in_pool = {"key": "pool", "operator": "In", "values": ["gpu"]}
    [term] = spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [in_pool, named("another-tenants")]}
    assert spec["nodeSelector"] == {"pool": "gpu"}
