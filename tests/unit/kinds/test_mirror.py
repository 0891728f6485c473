"""Marks, digests and merge patches, which every kind uses."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncer.kinds.mirror import (
    Refused,
    digest,
    is_marked,
    merge_patch,
    metadata_patch,
    super_metadata,
    tenant_metadata,
    with_digest,
)
from tests.unit.kinds.builders import ACME, TENANT_UID, merged, metadata
from vcluster import api

# Kubernetes never stores a null in what we compare, so "absent" is the only nothing.
scalars = st.booleans() | st.integers(-9, 9) | st.text("abc", max_size=3)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.text("abc", max_size=2), values, max_size=5)
labels = st.dictionaries(st.text("abcd", min_size=1, max_size=1), st.text("xy", max_size=1))


@settings(max_examples=40)
@given(objects, objects)
def test_a_merge_patch_leads_to_what_is_wanted(live: Any, wanted: Any) -> None:
    patch = merge_patch(live, wanted)
    assert (live if patch is None else merged(live, patch)) == wanted


@settings(max_examples=40)
@given(objects, objects)
def test_there_is_a_patch_only_if_something_differs(live: Any, wanted: Any) -> None:
    assert (merge_patch(live, wanted) is None) == (live == wanted)


@pytest.mark.parametrize(
    ("live", "wanted"), [({"a": None}, {}), ({}, {"a": None}), ({"a": {"b": None}}, {"a": {}})]
)
def test_a_null_and_an_absent_key_say_the_same(live: Any, wanted: Any) -> None:
    assert merge_patch(live, wanted) is None


def test_a_null_that_is_wanted_removes() -> None:
    assert merge_patch({"a": 1}, {"a": None}) == {"a": None}


@settings(max_examples=40)
@given(labels, labels, labels)
def test_labels_follow_the_tenant_and_those_of_others_stay(
    before: dict[str, str], others: dict[str, str], after: dict[str, str]
) -> None:
    others = {f"other.example.com/{key}": value for key, value in others.items()}
    mirror = {"metadata": super_metadata({"metadata": metadata("a", labels=before)}, ACME)}
    mirror["metadata"]["labels"] = mirror["metadata"]["labels"] | others
    wanted = {"metadata": super_metadata({"metadata": metadata("a", labels=after)}, ACME)}
    result = merged(mirror, {"metadata": metadata_patch(mirror, wanted)})
    assert result["metadata"]["labels"] == wanted["metadata"]["labels"] | others
    assert metadata_patch(result, wanted) == {}


def test_a_label_that_the_tenant_took_back_and_another_put_there_later_stays() -> None:
    with_label = {"metadata": super_metadata({"metadata": metadata("a", labels={"x": "1"})}, ACME)}
    wanted = {"metadata": super_metadata({"metadata": metadata("a")}, ACME)}
    mirror = merged(with_label, {"metadata": metadata_patch(with_label, wanted)})
    mirror["metadata"]["labels"]["x"] = "of a webhook"
    assert metadata_patch(mirror, wanted) == {}


def test_the_marks_say_whose_an_object_is() -> None:
    marked = super_metadata({"metadata": metadata("a", labels={"app": "shop"})}, ACME)
    assert marked["name"] == "a"
    assert marked["namespace"] == "acme-1f3a9c2e-web"
    assert marked["labels"] == {
        "app": "shop",
        api.TENANT_LABEL: ACME.key,
        api.BUCKET_LABEL: ACME.bucket,
    }
    assert marked["annotations"][api.NAMESPACE_ANNOTATION] == "web"
    assert marked["annotations"][api.NAME_ANNOTATION] == "a"
    assert marked["annotations"][api.UID_ANNOTATION] == TENANT_UID


def test_what_means_nothing_on_the_other_side_is_not_copied() -> None:
    marked = super_metadata({"metadata": metadata("a", generateName="a-")}, ACME)
    assert set(marked) == {"name", "namespace", "labels", "annotations"}


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_a_key_under_our_prefix_is_refused_by_name(field: str) -> None:
    forged = metadata("a", **{field: {"virtualcluster.dev/uid": "of-another"}})
    with pytest.raises(Refused, match=r"virtualcluster\.dev/uid") as refused:
        super_metadata({"metadata": forged}, ACME)
    assert refused.value.field == f"metadata.{field}"


def test_keys_under_our_prefix_do_not_go_up() -> None:
    source = metadata("a", labels={"virtualcluster.dev/tenant": "globex-deadbeef", "zone": "a"})
    assert tenant_metadata({"metadata": source})["labels"] == {"zone": "a"}


def test_only_a_mirror_is_marked() -> None:
    assert is_marked({"metadata": tenant_metadata({"metadata": metadata("a")})})
    assert not is_marked({"metadata": metadata("a")})


@settings(max_examples=40)
@given(objects)
def test_a_digest_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    backwards = json.loads(json.dumps(value), object_pairs_hook=lambda pairs: dict(pairs[::-1]))
    assert digest(value) == digest(backwards)


@settings(max_examples=40)
@given(objects, objects)
def test_different_objects_have_different_digests(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


def test_a_change_of_the_source_changes_the_digest_annotation() -> None:
    one, other = (
        with_digest({"metadata": super_metadata({"metadata": metadata("a")}, ACME), "data": data})
        for data in ({"a": "1"}, {"a": "2"})
    )
    annotation = api.DIGEST_ANNOTATION
    assert (
        one["metadata"]["annotations"][annotation] != other["metadata"]["annotations"][annotation]
    )
