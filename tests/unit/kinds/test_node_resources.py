"""Extended resources of a tenant's own on its virtual nodes."""

from typing import Any

import msgspec
import pytest

from kube.objects import Object
from kube.quantities import NANOS
from syncer.kinds import node_resources
from syncer.kinds.mirror import KEYS_ANNOTATIONS
from syncer.kinds.node import node_kind
from syncer.kinds.node_taints import decode_node
from tests.unit.kinds.builders import ACME, live, merged
from tests.unit.kinds.test_node import a_node
from vcluster import api

KIND = node_kind(api.NODE_AGENT_PORT)
FOO, GPU = "example.com/foo", "nvidia.com/gpu"
RECORD = KEYS_ANNOTATIONS["resources"]


def a_copy(source: Object, **capacity: str) -> Object:
    """The virtual node, to which the tenant has added."""
    shown = KIND.to_tenant(source, ACME)
    assert shown is not None
    status = shown["status"] | {"capacity": shown["status"]["capacity"] | capacity}
    return live(shown | {"status": status})


def brought_up_to_date(copy: Object, source: Object) -> Object:
    """The copy after the writes; there is nothing to write a second time."""
    wanted = KIND.to_tenant(source, ACME)
    assert wanted is not None
    for write in KIND.patch(copy, wanted):
        copy = merged(copy, write.patch)
    assert not KIND.patch(copy, wanted)
    return copy


def own(copy: Object) -> dict[str, int]:
    return node_resources.own_resources(decode_node(msgspec.json.encode(copy)))


def test_what_the_tenant_adds_stays_and_all_of_it_is_allocatable() -> None:
    copy = brought_up_to_date(a_copy(a_node(), **{FOO: "5"}), a_node())
    assert copy["status"]["capacity"] == {GPU: "4", FOO: "5"}
    assert copy["status"]["allocatable"] == {GPU: "4", FOO: "5"}
    assert own(copy) == {FOO: 5 * NANOS}


def test_what_the_tenant_takes_away_goes_from_both() -> None:
    copy = brought_up_to_date(a_copy(a_node(), **{FOO: "5"}), a_node())
    del copy["status"]["capacity"][FOO]
    copy = brought_up_to_date(copy, a_node())
    assert copy["status"]["allocatable"] == {GPU: "4"}
    assert not own(copy)


@pytest.mark.parametrize(
    "amounts", [{GPU: "100"}, {"cpu": "1000"}, {"kubernetes.io/batch": "1"}, {"pods": "9"}]
)
def test_what_is_the_providers_or_kubernetes_is_undone(amounts: dict[str, str]) -> None:
    copy = brought_up_to_date(a_copy(a_node(), **amounts), a_node())
    assert copy["status"]["capacity"] == {GPU: "4"}
    assert not own(copy)


def test_a_resource_of_the_providers_goes_with_the_providers() -> None:
    copy = a_copy(a_node())
    without = a_node(capacity={"cpu": "4"}, allocatable={"cpu": "4"})
    copy = brought_up_to_date(copy, without)
    assert copy["status"]["capacity"] == {"cpu": "4"}
    assert not own(copy)


def test_where_both_have_one_the_providers_is_shown() -> None:
    copy = brought_up_to_date(a_copy(a_node(), **{FOO: "5"}), a_node())
    both = a_node(capacity={GPU: "4", FOO: "1"}, allocatable={GPU: "4", FOO: "1"})
    copy = brought_up_to_date(copy, both)
    assert copy["status"]["capacity"][FOO] == "1"
    assert not own(copy)


def test_without_a_record_nothing_is_the_tenants() -> None:
    copy = a_copy(a_node(), **{FOO: "5"})
    del copy["metadata"]["annotations"][RECORD]
    assert not own(copy)
    assert brought_up_to_date(copy, a_node())["status"]["capacity"] == {GPU: "4"}


def test_a_node_that_the_tenant_has_invented_has_nothing() -> None:
    invented = {"metadata": {"annotations": {RECORD: ""}}, "status": {"capacity": {FOO: "5"}}}
    assert not own(invented)


def a_container(**resources: Any) -> Object:
    return {"name": "main", "image": "i", "resources": resources}


def test_a_pod_goes_without_them_and_keeps_all_else() -> None:
    amounts = {"cpu": "1", FOO: "2", GPU: "1"}
    spec: Object = {
        "initContainers": [a_container(limits={FOO: "1"})],
        "containers": [a_container(requests=amounts, limits=amounts, claims=[{"name": "c"}])],
        "novel": 1,
    }
    changed = node_resources.without_resources(spec, {FOO})
    (container,) = changed["containers"]
    fewer = {"cpu": "1", GPU: "1"}
    claims = [{"name": "c"}]
    assert container["resources"] == {"requests": fewer, "limits": fewer, "claims": claims}
    assert changed["initContainers"][0]["resources"] == {"limits": {}}
    assert changed["novel"] == 1
    assert spec["containers"][0]["resources"]["requests"] == amounts, "the pod itself is untouched"


def test_a_node_is_given_so_many_and_no_more() -> None:
    many = {f"example.com/r{number}": "1" for number in range(100)}
    copy = brought_up_to_date(a_copy(a_node(), **many), a_node())
    assert len(own(copy)) == node_resources.MOST_OWN
    assert len(copy["status"]["capacity"]) == node_resources.MOST_OWN + 1
