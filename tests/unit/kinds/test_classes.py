"""Storage, priority and runtime classes, upward."""

from typing import Any

import pytest

from kube.objects import Object
from syncer.kinds.classes import PRIORITY_CLASS, RUNTIME_CLASS, STORAGE_CLASS, is_offered
from syncer.kinds.mirror import Recreate, UpwardKind, Write
from tests.unit.kinds.builders import ACME, SUPER_UID, live, metadata
from vcluster import api

ALL = [STORAGE_CLASS, PRIORITY_CLASS, RUNTIME_CLASS]
PUBLIC = {api.PUBLIC_LABEL: "true"}


def a_class(
    kind: UpwardKind, labels: dict[str, str] | None = None, name: str = "fast", **fields: Any
) -> Object:
    labels = PUBLIC if labels is None else labels
    if kind is PRIORITY_CLASS:
        fields = {"preemptionPolicy": "Never"} | fields
    return {
        "apiVersion": kind.resource.api_version,
        "kind": kind.resource.kind,
        "metadata": metadata(name, uid=SUPER_UID, labels=labels),
        **fields,
    }


def shown(kind: UpwardKind, source: Object) -> Object:
    wanted = kind.to_tenant(source, ACME)
    assert wanted is not None
    return wanted


@pytest.mark.parametrize("kind", ALL)
def test_a_public_class_is_shown_whole(kind: UpwardKind) -> None:
    wanted = shown(kind, a_class(kind, PUBLIC | {"tier": "1"}, novel={"x": 1}))
    assert wanted["kind"] == kind.resource.kind
    assert wanted["novel"] == {"x": 1}
    assert wanted["metadata"]["name"] == "fast"
    assert wanted["metadata"]["labels"] == {"tier": "1"}
    assert wanted["metadata"]["annotations"][api.UID_ANNOTATION] == SUPER_UID
    assert wanted["metadata"].keys() == {"name", "labels", "annotations"}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("labels", [{}, {api.PUBLIC_LABEL: "false"}, {api.PUBLIC_LABEL: ""}])
def test_any_other_is_not(kind: UpwardKind, labels: dict[str, str]) -> None:
    assert kind.to_tenant(a_class(kind, labels), ACME) is None


@pytest.mark.parametrize("policy", ["PreemptLowerPriority", None])
def test_a_priority_that_preempts_other_tenants_is_not(policy: str | None) -> None:
    source = a_class(PRIORITY_CLASS, value=1000, preemptionPolicy=policy)
    assert PRIORITY_CLASS.to_tenant(source, ACME) is None
    assert not is_offered(PRIORITY_CLASS.resource, source)


def test_every_api_server_has_its_own_system_classes() -> None:
    source = a_class(PRIORITY_CLASS, name="system-node-critical", value=2000001000)
    assert PRIORITY_CLASS.to_tenant(source, ACME) is None


def test_a_default_priority_of_the_provider_leaves_the_tenant_its_own() -> None:
    wanted = shown(PRIORITY_CLASS, a_class(PRIORITY_CLASS, value=5, globalDefault=True))
    assert "globalDefault" not in wanted
    assert wanted["value"] == 5


def test_a_default_storage_class_is_shown_as_one() -> None:
    source = a_class(STORAGE_CLASS)
    source["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    annotations = shown(STORAGE_CLASS, source)["metadata"]["annotations"]
    assert annotations["storageclass.kubernetes.io/is-default-class"] == "true"


@pytest.mark.parametrize(
    ("kind", "field", "old", "new"),
    [
        (STORAGE_CLASS, "parameters", {"a": "1"}, {"a": "2"}),
        (STORAGE_CLASS, "provisioner", "a.example.com", "b.example.com"),
        (STORAGE_CLASS, "reclaimPolicy", "Delete", "Retain"),
        (STORAGE_CLASS, "volumeBindingMode", "Immediate", "WaitForFirstConsumer"),
        (PRIORITY_CLASS, "value", 1, 2),
        (RUNTIME_CLASS, "handler", "runc", "kata"),
    ],
)
def test_what_never_changes_in_place_needs_a_new_class(
    kind: UpwardKind, field: str, old: Any, new: Any
) -> None:
    mirror = live(shown(kind, a_class(kind, **{field: old})))
    with pytest.raises(Recreate, match=field):
        kind.patch(mirror, shown(kind, a_class(kind, **{field: new})))


@pytest.mark.parametrize("kind", ALL)
def test_other_fields_are_patched(kind: UpwardKind) -> None:
    mirror = live(shown(kind, a_class(kind, description="old", gone=1)))
    wanted = shown(kind, a_class(kind, description="new"))
    assert kind.patch(mirror, wanted) == [Write("", {"description": "new", "gone": None})]


@pytest.mark.parametrize("kind", ALL)
def test_a_class_that_the_tenant_made_itself_is_left_alone(kind: UpwardKind) -> None:
    own = a_class(kind, {}, value=1, handler="a", provisioner="a")
    assert kind.patch(own, shown(kind, a_class(kind, value=2))) == []


@pytest.mark.parametrize("kind", ALL)
def test_the_digest_changes_with_what_is_shown_and_no_more(kind: UpwardKind) -> None:
    source = a_class(kind, description="old")
    touched = a_class(kind, description="old")
    touched["metadata"] |= {"resourceVersion": "99", "managedFields": []}
    assert kind.digest(source) == kind.digest(touched)
    assert kind.digest(source) != kind.digest(a_class(kind, description="new"))
    assert kind.digest(source) != kind.digest(a_class(kind, {}, description="old"))
