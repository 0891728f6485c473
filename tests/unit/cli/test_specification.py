"""What a person may give to ``vc create``, and what is said when it is wrong."""

from typing import Any

import pytest

from vcluster.cli.output import Failure
from vcluster.cli.specification import differences, parse, virtual_cluster

WHOLE = {
    "apiVersion": "virtualcluster.dev/v1alpha1",
    "kind": "VirtualCluster",
    "metadata": {"name": "a", "labels": {"team": "x"}},
    "spec": {"nodes": {"mode": "used"}},
}


def test_a_name_is_enough() -> None:
    made = virtual_cluster("a", "tenants", "", None)
    assert made["metadata"] == {"name": "a", "namespace": "tenants"}
    assert made["spec"] == {}


def test_a_bare_spec_and_a_whole_object_mean_the_same() -> None:
    bare = virtual_cluster("a", "tenants", "gold", {"nodes": {"mode": "used"}})
    whole = virtual_cluster("a", "tenants", "gold", WHOLE)
    assert bare["spec"] == whole["spec"] == {"nodes": {"mode": "used"}, "className": "gold"}
    assert whole["metadata"] == {"name": "a", "namespace": "tenants", "labels": {"team": "x"}}


def test_the_file_is_not_changed() -> None:
    virtual_cluster("a", "tenants", "gold", WHOLE)
    assert WHOLE["spec"] == {"nodes": {"mode": "used"}}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({**WHOLE, "metadata": {"name": "b"}}, "metadata.name is 'b'"),
        ({**WHOLE, "metadata": {"namespace": "b"}}, "metadata.namespace is 'b'"),
        ({**WHOLE, "kind": "Pod"}, "kind is 'Pod'"),
        ({**WHOLE, "apiVersion": "v1"}, "must be 'virtualcluster.dev/v1alpha1'"),
        ({**WHOLE, "extra": 1}, "unknown field 'extra'"),
        ({**WHOLE, "spec": ["x"]}, "spec must be a mapping"),
        ({"className": "silver"}, "spec.className is 'silver'"),
    ],
)
def test_a_file_that_says_another_thing_is_refused(document: dict[str, Any], told: str) -> None:
    with pytest.raises(Failure, match=r".") as failure:
        virtual_cluster("a", "tenants", "gold", document)
    assert told in failure.value.message


@pytest.mark.parametrize("name", ["", "A", "1a", "a-", "a.b", "a_b", "a" * 41])
def test_a_name_that_cannot_be_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(Failure, match="cannot be used") as failure:
        virtual_cluster(name, "tenants", "", None)
    assert "40" in failure.value.hint


def test_the_longest_name_is_accepted() -> None:
    assert virtual_cluster("a" * 40, "tenants", "", None)["metadata"]["name"] == "a" * 40


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "f.yaml, line 1, column 5"),
        ("", "it holds nothing"),
        ("- a", "it holds a list"),
        ("a: 1\n---\nb: 1", "it holds 2 documents"),
    ],
)
def test_a_file_that_holds_no_spec_is_refused(text: str, told: str) -> None:
    with pytest.raises(Failure, match=r".") as failure:
        parse(text, "f.yaml")
    assert told in failure.value.message


def test_differences_name_the_paths() -> None:
    wanted = {"nodes": {"mode": "used"}, "className": "a"}
    found = {"nodes": {"mode": "all", "selector": {}}, "className": "a"}
    assert list(differences(wanted, found)) == ["spec.nodes.mode", "spec.nodes.selector"]
    assert list(differences(found, found)) == []
