"""What holds for every kind: nothing is lost, nothing is marked as another's, patches converge."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube.objects import Object
from syncer.kinds import downward_kinds, optional_kinds, upward_kinds
from syncer.kinds.mirror import DownwardKind, UpwardKind, digest
from tests.unit.kinds.builders import (
    ACME,
    SUPER_UID,
    TENANT_UID,
    a_namespace,
    a_service,
    live,
    merged,
    metadata,
)
from vcluster import api
from vcluster.sync import CustomResource, Sync

# Pods have their own reconciler and their own tests.
OPTIONAL_DOWN, OPTIONAL_UP = optional_kinds(
    Sync(
        volume_snapshots=True,
        resource_claims=True,
        custom_resources=(
            CustomResource("example.com", "v1", "widgets", "Widget"),
            CustomResource("example.com", "v1", "flavors", "Flavor", "up"),
        ),
    )
)
DOWN = [*downward_kinds(["192.168.0.0/16"]), *OPTIONAL_DOWN]
# Of a definition only one version is shown, as its own tests tell.
UPWARD = upward_kinds(api.NODE_AGENT_PORT)
UP = [*UPWARD, *(kind for kind in OPTIONAL_UP if not kind.kept)]
MINIMAL: dict[str, Object] = {
    "Namespace": a_namespace(),
    "Service": a_service(),
    "EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["203.0.113.7"]}]},
    "ConfigMap": {"data": {"a": "1"}},
    "Secret": {"data": {"a": "MQ=="}, "type": "Opaque"},
    "PersistentVolumeClaim": {"spec": {"accessModes": ["ReadWriteOnce"]}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1}},
    "VolumeSnapshot": {"spec": {"source": {"persistentVolumeClaimName": "data"}}},
    "Widget": {"spec": {"size": 1}},
    "ResourceClaim": {
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"count": 1}}]}}
    },
    "Ingress": {"spec": {"rules": [{"host": "shop.example.com"}]}},
}
words = st.text("abc", min_size=1, max_size=2)
values = st.recursive(
    st.booleans() | st.integers(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=3),
    max_leaves=4,
)
# A prefix, so that no generated name is one that Kubernetes has.
unknown = st.dictionaries(words.map("future-{}".format), values, max_size=3)


def a_source(kind: DownwardKind, novel: Object) -> Object:
    minimal = copy.deepcopy(MINIMAL[kind.resource.kind])
    return {"metadata": metadata("shop"), **minimal, **novel}


@pytest.mark.parametrize("kind", DOWN, ids=lambda kind: kind.resource.kind)
@settings(max_examples=20)
@given(novel=unknown)
def test_a_field_that_the_syncer_does_not_know_goes_down(kind: DownwardKind, novel: Object) -> None:
    wanted = kind.to_super(a_source(kind, novel), ACME)
    assert wanted is not None
    assert {field: wanted[field] for field in novel} == novel


@pytest.mark.parametrize("kind", UP, ids=lambda kind: kind.resource.kind)
@settings(max_examples=20)
@given(novel=unknown)
def test_a_field_that_the_syncer_does_not_know_goes_up(kind: UpwardKind, novel: Object) -> None:
    wanted = kind.to_tenant(a_public_object(novel), ACME)
    assert wanted is not None
    assert {field: wanted[field] for field in novel} == novel


def a_public_object(novel: Object) -> Object:
    marked = metadata("fast", labels={api.PUBLIC_LABEL: "true"})
    return {"metadata": marked, "preemptionPolicy": "Never", **novel}


@pytest.mark.parametrize("kind", DOWN, ids=lambda kind: kind.resource.kind)
@settings(max_examples=20)
@given(before=unknown, after=unknown)
def test_one_patch_brings_the_mirror_to_what_is_wanted(
    kind: DownwardKind, before: Object, after: Object
) -> None:
    old, wanted = (kind.to_super(a_source(kind, novel), ACME) for novel in (before, after))
    assert old is not None
    assert wanted is not None
    mirror = live(old)
    patch = kind.patch(mirror, wanted)
    result = merged(mirror, patch) if patch else mirror
    assert kind.patch(result, wanted) is None
    assert {field: result.get(field) for field in after} == after


@pytest.mark.parametrize("kind", UP, ids=lambda kind: kind.resource.kind)
@settings(max_examples=20)
@given(before=unknown, after=unknown)
def test_the_digest_changes_when_and_only_when_the_tenant_sees_another_object(
    kind: UpwardKind, before: Object, after: Object
) -> None:
    one, other = a_public_object(before), a_public_object(after)
    same = digest(kind.to_tenant(one, ACME)) == digest(kind.to_tenant(other, ACME))
    assert (kind.digest(one) == kind.digest(other)) == same


@pytest.mark.parametrize("kind", UP, ids=lambda kind: kind.resource.kind)
@settings(max_examples=20)
@given(before=unknown, after=unknown)
def test_the_writes_bring_the_tenants_copy_to_what_is_wanted(
    kind: UpwardKind, before: Object, after: Object
) -> None:
    copy_, wanted = (kind.to_tenant(a_public_object(novel), ACME) for novel in (before, after))
    assert wanted is not None
    for write in kind.patch(copy_ or {}, wanted):
        copy_ = merged(copy_, write.patch)
    assert copy_ == wanted


@pytest.mark.parametrize("kind", DOWN, ids=lambda kind: kind.resource.kind)
def test_every_mirror_says_whose_it_is(kind: DownwardKind) -> None:
    wanted = kind.to_super(a_source(kind, {}), ACME)
    assert wanted is not None
    assert wanted["apiVersion"] == kind.resource.api_version
    assert wanted["kind"] == kind.resource.kind
    labels, annotations = wanted["metadata"]["labels"], wanted["metadata"]["annotations"]
    assert (labels[api.TENANT_LABEL], labels[api.BUCKET_LABEL]) == (ACME.key, ACME.bucket)
    assert annotations[api.UID_ANNOTATION] == TENANT_UID
    assert len(annotations[api.DIGEST_ANNOTATION]) == 16


@pytest.mark.parametrize("kind", DOWN, ids=lambda kind: kind.resource.kind)
def test_the_digest_tells_a_change_of_any_mark_or_field(kind: DownwardKind) -> None:
    source = a_source(kind, {})
    relabelled = copy.deepcopy(source)
    relabelled["metadata"]["labels"] = {"new": "label"}
    recreated = copy.deepcopy(source)
    recreated["metadata"]["uid"] = SUPER_UID
    extended = source | {"novel": 1}
    digests = {_digest_of(kind, one) for one in (source, relabelled, recreated, extended)}
    assert len(digests) == 4


@pytest.mark.parametrize("kind", DOWN, ids=lambda kind: kind.resource.kind)
def test_versions_and_times_change_nothing_below(kind: DownwardKind) -> None:
    touched = a_source(kind, {})
    touched["metadata"] |= {"resourceVersion": "99", "generation": 3, "managedFields": []}
    assert _digest_of(kind, touched) == _digest_of(kind, a_source(kind, {}))


def _digest_of(kind: DownwardKind, source: Object) -> Any:
    wanted = kind.to_super(source, ACME)
    assert wanted is not None
    return wanted["metadata"]["annotations"][api.DIGEST_ANNOTATION]


def test_every_kind_is_in_the_tables_once() -> None:
    for table in (downward_kinds([]), UPWARD):
        resources = [kind.resource for kind in table]
        assert len(resources) == len(set(resources))
