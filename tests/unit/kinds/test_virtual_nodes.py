"""What a tenant says of its nodes by labels and taints: the super cluster is asked for names instead."""

from typing import Any

import msgspec
import pytest

from kube.objects import Metadata, Object, encode
from syncer.kinds.mirror import KEYS_ANNOTATIONS
from syncer.kinds.node_labels import HOSTNAME, node_labels
from syncer.kinds.node_taints import NodeView, decode_node
from syncer.kinds.pod import to_super
from syncer.kinds.virtual_nodes import VirtualNodes, by_name, tainted_node
from tests.unit.kinds.builders import ACME
from tests.unit.kinds.pod_builders import OFFERS, a_pod
from vcluster import api
from vcluster.api import Tenant

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
IN_ZONE = {"key": "zone", "operator": "In", "values": ["a"]}


def a_shown_node(name: str, **own: str) -> Metadata:
    """A virtual node in zone ``a``, with labels that the tenant has added."""
    given = {HOSTNAME: name, "zone": "a"}
    marks = {api.UID_ANNOTATION: "u", KEYS_ANNOTATIONS["labels"]: " ".join(sorted(given))}
    return Metadata(name=name, labels=given | own, annotations=marks)


def labelled(*nodes: Metadata, tenant: Tenant = ACME) -> VirtualNodes:
    return VirtualNodes(node_labels(nodes, tenant))


NODES = labelled(
    a_shown_node("one", disk="ssd", rank="1"),
    a_shown_node("two", disk="ssd", rank="2"),
    a_shown_node("three"),
)


def down(nodes: VirtualNodes, tenant: Tenant = ACME, **spec: Any) -> Object:
    pod = a_pod(**spec)
    return by_name(to_super(pod, tenant, OFFERS), pod, nodes)


def placed(nodes: VirtualNodes = NODES, **spec: Any) -> Any:
    return down(nodes, **spec)["spec"]


def terms(nodes: VirtualNodes = NODES, **spec: Any) -> Any:
    return placed(nodes, **spec)["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]


def named(*names: str, operator: str = "In") -> Object:
    return {"key": HOSTNAME, "operator": operator, "values": list(names)}


def mark(nodes: VirtualNodes, **spec: Any) -> str | None:
    marks: dict[str, str] = down(nodes, **spec)["metadata"]["annotations"]
    return marks.get(api.VIRTUAL_NODES_ANNOTATION)


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
        assert down(NODES, **spec) == to_super(a_pod(**spec), ACME, OFFERS)


def test_the_mark_tells_other_nodes_apart() -> None:
    fewer = labelled(a_shown_node("one", disk="ssd"), a_shown_node("two"))
    marks = {mark(nodes, nodeSelector={"disk": "ssd"}) for nodes in (NODES, fewer, VirtualNodes())}
    assert len(marks) == 3
    assert None in marks


def test_a_node_that_the_tenant_has_invented_or_renamed_is_not_asked_for() -> None:
    invented = Metadata(name="mine", labels={HOSTNAME: "mine", "disk": "ssd"})
    marks = {api.UID_ANNOTATION: "u", KEYS_ANNOTATIONS["labels"]: "zone"}
    renamed = Metadata(name="x", labels={HOSTNAME: "x", "disk": "ssd"}, annotations=marks)
    nodes = labelled(invented, renamed, a_shown_node("one", disk="ssd"))
    assert terms(nodes, nodeSelector={"disk": "ssd"}) == [{"matchExpressions": [named("one")]}]


def test_forged_marks_do_not_lead_out_of_the_nodes_that_a_tenant_is_confined_to() -> None:
    pooled = msgspec.structs.replace(ACME, node_selector={"pool": "gpu"})
    marks = {api.UID_ANNOTATION: "u", KEYS_ANNOTATIONS["labels"]: HOSTNAME}
    labels = {HOSTNAME: "another-tenants", "pool": "gpu", "disk": "ssd"}
    forged = Metadata(name="another-tenants", labels=labels, annotations=marks)
    selector = {"disk": "ssd", "pool": "gpu"}
    spec = down(labelled(forged, tenant=pooled), pooled, nodeSelector=selector)["spec"]
    in_pool = {"key": "pool", "operator": "In", "values": ["gpu"]}
    [term] = spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [in_pool, named("another-tenants")]}
    assert spec["nodeSelector"] == {"pool": "gpu"}


def a_tainted_node(name: str, *taints: str, cordoned: bool = False, given: str = "") -> NodeView:
    """A virtual node with taints (``key=value:effect``) besides what the provider has ``given``."""
    parts = [taint.replace("=", ":").split(":") for taint in taints]
    found = [{"key": key, "value": value, "effect": effect} for key, value, effect in parts]
    marks = {
        api.UID_ANNOTATION: "u",
        KEYS_ANNOTATIONS["labels"]: HOSTNAME,
        KEYS_ANNOTATIONS["taints"]: given,
    }
    metadata = {"name": name, "labels": {HOSTNAME: f"host-{name}"}, "annotations": marks}
    spec = {"taints": found, "unschedulable": cordoned}
    return decode_node(encode({"metadata": metadata, "spec": spec}))


def tainted(*nodes: NodeView) -> VirtualNodes:
    found = {node.metadata.name: tainted_node(node) for node in nodes}
    return VirtualNodes(tainted={name: node for name, node in found.items() if node is not None})


CLOSED = tainted(
    a_tainted_node("one", "a=x:NoSchedule"),
    a_tainted_node("two", "a=y:NoExecute", "b=:NoSchedule"),
    a_tainted_node("three", cordoned=True),
)
UNTOLERATED = named("host-one", "host-three", "host-two", operator="NotIn")
EXISTS = {"operator": "Exists"}


def test_a_pod_stays_away_from_the_nodes_with_taints_that_it_does_not_tolerate() -> None:
    assert terms(CLOSED) == [{"matchExpressions": [UNTOLERATED]}]
    assert mark(CLOSED)


def test_each_alternative_is_narrowed_be_it_by_a_nodes_name_and_an_empty_one_means_no_node() -> (
    None
):
    by_field = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}
    alternatives = [{"matchExpressions": [IN_ZONE]}, by_field, {}]
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": alternatives}}}
    assert terms(CLOSED, affinity=affinity) == [
        {"matchExpressions": [IN_ZONE, UNTOLERATED]},
        by_field | {"matchExpressions": [UNTOLERATED]},
        {},
    ]


def test_what_confines_the_tenant_comes_first_and_stays() -> None:
    pooled = msgspec.structs.replace(ACME, node_selector={"pool": "gpu"})
    spec = down(CLOSED, pooled)["spec"]
    in_pool = {"key": "pool", "operator": "In", "values": ["gpu"]}
    [term] = spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [in_pool, UNTOLERATED]}


@pytest.mark.parametrize(
    ("toleration", "avoided"),
    [
        (EXISTS, ()),
        (EXISTS | {"effect": "NoSchedule"}, ("two",)),
        (EXISTS | {"effect": "NoExecute"}, ("one", "three", "two")),
        (EXISTS | {"key": "a"}, ("three", "two")),
        ({"key": "a", "value": "x"}, ("three", "two")),
        ({"key": "a", "operator": "Equal", "value": "x", "effect": ""}, ("three", "two")),
        ({"key": "a", "value": "z"}, ("one", "three", "two")),
        ({"key": "a", "operator": "Gt", "value": "0"}, ("one", "three", "two")),
        ({"key": "node.kubernetes.io/unschedulable"} | EXISTS, ("one", "two")),
        ({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, ("one", "two")),
    ],
)
def test_tolerations_mean_what_the_scheduler_means(
    toleration: Object, avoided: tuple[str, ...]
) -> None:
    spec = placed(CLOSED, tolerations=[toleration])
    if not avoided:
        assert "affinity" not in spec
        return
    names = named(*(f"host-{name}" for name in avoided), operator="NotIn")
    [term] = spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [names]}


def test_a_wish_to_keep_pods_away_stays_a_wish() -> None:
    nodes = tainted(a_tainted_node("one", "a=x:PreferNoSchedule"))
    own = {"weight": 3, "preference": {"matchExpressions": [IN_ZONE]}}
    spec = placed(nodes, affinity={"nodeAffinity": {PREFERRED: [own]}})
    away = {
        "weight": 100,
        "preference": {"matchExpressions": [named("host-one", operator="NotIn")]},
    }
    assert spec["affinity"]["nodeAffinity"] == {PREFERRED: [own, away]}
    assert "affinity" not in placed(nodes, tolerations=[{"key": "a", "value": "x"}])


def test_who_names_a_node_goes_round_taints_as_in_any_cluster() -> None:
    assert down(CLOSED, nodeName="one") == to_super(a_pod(nodeName="one"), ACME, OFFERS)


@pytest.mark.parametrize(
    "node",
    [
        a_tainted_node("one", "a=x:NoSchedule", given="a:NoSchedule"),
        a_tainted_node("one", cordoned=True, given="unschedulable"),
        NodeView(metadata=Metadata(name="invented"), spec=a_tainted_node("x", "a=:NoExecute").spec),
    ],
)
def test_what_the_provider_has_given_and_what_is_invented_is_not_the_tenants_word(
    node: NodeView,
) -> None:
    assert tainted_node(node) is None


def test_whatever_is_forged_only_ever_narrows() -> None:
    """A hostname of the tenant's own is not believed, and the name of another's node is only avoided."""
    renamed = a_tainted_node("one", "a=x:NoSchedule")
    renamed.metadata.annotations[KEYS_ANNOTATIONS["labels"]] = ""
    assert placed(tainted(renamed)) == to_super(a_pod(), ACME, OFFERS)["spec"]
    forged = tainted(a_tainted_node("another-tenants", "a=x:NoSchedule"))
    assert terms(forged) == [
        {"matchExpressions": [named("host-another-tenants", operator="NotIn")]}
    ]
