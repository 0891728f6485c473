"""PersistentVolumeClaims, downward and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.objects import Object, ObjectKey
from syncer.kinds.mirror import Refused, Target, Write
from syncer.kinds.offers import Offers, default_class
from syncer.kinds.persistent_volume_claim import PERSISTENT_VOLUME_CLAIM, admitted, to_tenant
from tests.unit.kinds.builders import ACME, live, merged, metadata
from vcluster import api

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
OFFERS = Offers(storage_classes=frozenset({"fast", "slow"}))
DEFAULT = Offers(storage_classes=frozenset({"fast", "slow"}), default_storage_class="slow")
STATUS = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}


def a_claim(annotations: Any = None, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata("data", annotations=annotations or {}),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "fast",
            "volumeMode": "Filesystem",
            **spec,
        },
        "status": {"phase": "Pending"},
    }


def to_super(claim: Object) -> Object:
    wanted = PERSISTENT_VOLUME_CLAIM.to_super(claim, ACME)
    assert wanted is not None
    return wanted


def without(claim: Object, field: str) -> Object:
    return claim | {"spec": {key: value for key, value in claim["spec"].items() if key != field}}


def test_a_claim_goes_down_as_it_is() -> None:
    claim = a_claim(novel={"x": 1}, selector={"matchLabels": {"disk": "ssd"}})
    wanted = to_super(claim)
    assert wanted["spec"] == claim["spec"]
    assert wanted["metadata"]["namespace"] == "acme-1f3a9c2e-web"
    assert "finalizers" not in wanted["metadata"]
    assert "ownerReferences" not in wanted["metadata"]
    assert "status" not in wanted


@pytest.mark.parametrize("name", ["fast", "slow"])
def test_an_offered_class_is_admitted(name: str) -> None:
    claim = a_claim(storageClassName=name)
    assert admitted(claim, OFFERS) == claim


@pytest.mark.parametrize(
    ("claim", "field"),
    [
        (a_claim(storageClassName="internal"), "spec.storageClassName"),
        (a_claim(storageClassName=""), "spec.storageClassName"),
        (a_claim({CLASS_ANNOTATION: "internal"}), CLASS_ANNOTATION),
        (a_claim({CLASS_ANNOTATION: ""}), CLASS_ANNOTATION),
        (a_claim({CLASS_ANNOTATION: "fast"}, storageClassName="internal"), "spec.storageClassName"),
        (without(a_claim(), "storageClassName"), "spec.storageClassName"),
    ],
)
def test_any_other_is_refused_and_the_offered_are_named(claim: Object, field: str) -> None:
    with pytest.raises(Refused, match="offered: fast, slow") as refused:
        admitted(claim, OFFERS)
    assert refused.value.reason == "NotOffered"
    assert field in refused.value.field


def test_a_claim_without_a_class_gets_the_offered_default() -> None:
    claim = without(a_claim(), "storageClassName")
    assert admitted(claim, DEFAULT)["spec"]["storageClassName"] == "slow"
    annotated = claim | {"metadata": metadata("data", annotations={CLASS_ANNOTATION: "fast"})}
    assert admitted(annotated, DEFAULT) == annotated


def a_storage_class(name: str, day: int, default: str = "true") -> Object:
    annotations = {"storageclass.kubernetes.io/is-default-class": default}
    created = f"2026-01-{day:02d}T00:00:00Z"
    given = {"name": name, "creationTimestamp": created, "annotations": annotations}
    return {"metadata": given}


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([], ""),
        ([a_storage_class("a", 1, "false")], ""),
        ([a_storage_class("a", 1), a_storage_class("b", 2)], "b"),
        ([a_storage_class("b", 2), a_storage_class("a", 1)], "b"),
        ([a_storage_class("b", 1), a_storage_class("a", 1)], "a"),
    ],
)
def test_of_several_defaults_the_newest_counts(classes: list[Object], expected: str) -> None:
    assert default_class(classes) == expected


@pytest.mark.parametrize(
    "key",
    [
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.kubernetes.io/selected-node",
        "volume.kubernetes.io/storage-provisioner",
        "volume.beta.kubernetes.io/storage-provisioner",
    ],
)
def test_nobody_may_speak_for_the_volume_controllers(key: str) -> None:
    with pytest.raises(Refused, match=key):
        to_super(a_claim({key: "yes"}))


@pytest.mark.parametrize("field", ["dataSource", "dataSourceRef"])
@pytest.mark.parametrize(
    "source",
    [
        {"kind": "PersistentVolumeClaim", "name": "other", "namespace": "elsewhere"},
        {"kind": "VolumeSnapshot", "apiGroup": "snapshot.storage.k8s.io", "name": "yesterday"},
        {"kind": "PersistentVolumeClaim", "apiGroup": "example.com", "name": "other"},
    ],
)
def test_contents_come_from_a_claim_beside_or_from_nowhere(field: str, source: Object) -> None:
    with pytest.raises(Refused, match=rf"spec\.{field}"):
        to_super(a_claim(**{field: source}))
    inside = {"kind": "PersistentVolumeClaim", "name": "other"}
    assert to_super(a_claim(**{field: inside}))["spec"][field] == inside


def test_classes_of_attributes_are_not_offered() -> None:
    with pytest.raises(Refused, match=r"spec\.volumeAttributesClassName: 'gold'"):
        to_super(a_claim(volumeAttributesClassName="gold"))


def test_a_bound_claim_whose_mirror_was_lost_asks_for_its_own_volume() -> None:
    wanted = to_super(a_claim(volumeName="disk-1"))
    assert wanted["spec"]["volumeName"] == "disk-1"


def test_that_it_is_bound_leads_to_no_other_write() -> None:
    mirror = live(to_super(a_claim()))
    mirror["spec"] = mirror["spec"] | {"volumeName": "disk-1"}
    mirror["metadata"] = merged(
        mirror["metadata"], {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    )
    for name in ("disk-1", "disk-1-as-the-tenant-sees-it"):
        assert PERSISTENT_VOLUME_CLAIM.patch(mirror, to_super(a_claim(volumeName=name))) is None


@pytest.mark.parametrize("field", ["storageClassName", "accessModes", "volumeMode", "selector"])
def test_what_is_fixed_is_never_patched_nor_recreated(field: str) -> None:
    mirror = live(to_super(a_claim()))
    change = PERSISTENT_VOLUME_CLAIM.patch(mirror, to_super(a_claim(**{field: "other"})))
    assert change is not None
    assert "spec" not in change


@given(size=st.integers(1, 99), future=st.dictionaries(st.text("ab", min_size=1), st.integers()))
def test_a_wish_for_more_goes_down_in_one_patch(size: int, future: dict[str, int]) -> None:
    mirror = live(to_super(a_claim()))
    mirror["spec"] = mirror["spec"] | {"volumeName": "disk-1", "addedBelow": True}
    novel = {f"future-{key}": value for key, value in future.items()}
    resources = {"requests": {"storage": f"{size}Gi"}}
    wanted = to_super(a_claim(resources=resources, volumeName="seen-above", **novel))
    patch = PERSISTENT_VOLUME_CLAIM.patch(mirror, wanted)
    result = merged(mirror, patch) if patch else mirror
    assert PERSISTENT_VOLUME_CLAIM.patch(result, wanted) is None
    assert result["spec"]["resources"] == resources
    assert (result["spec"]["volumeName"], result["spec"]["addedBelow"]) == ("disk-1", True)
    assert novel.items() <= result["spec"].items()


def test_volume_and_status_go_up_in_this_order() -> None:
    claim = a_claim()
    mirror = live(to_super(claim), status=STATUS)
    mirror["spec"] = mirror["spec"] | {"volumeName": "disk-1"}
    volume, status = to_tenant(mirror, claim, ACME)
    assert volume == Write("", {"spec": {"volumeName": "disk-1"}})
    assert status == Write("status", {"status": STATUS})
    after = merged(merged(claim, volume.patch), status.patch)
    assert to_tenant(mirror, after, ACME) == []


def test_a_condition_that_is_over_goes() -> None:
    resizing = [{"type": "Resizing", "status": "True"}]
    claim = a_claim() | {"status": STATUS | {"conditions": resizing}}
    mirror = live(to_super(claim), status=STATUS)
    assert to_tenant(mirror, claim, ACME) == [Write("status", {"status": {"conditions": None}})]


def test_each_condition_has_one_owner() -> None:
    unused_above = {"type": "Unused", "status": "True", "reason": "Above"}
    unused_below = {"type": "Unused", "status": "False", "reason": "Below"}
    resizing = {"type": "Resizing", "status": "True"}
    claim = a_claim() | {"status": STATUS | {"conditions": [unused_above]}}
    mirror = live(to_super(claim), status=STATUS | {"conditions": [unused_below, resizing]})
    (write,) = to_tenant(mirror, claim, ACME)
    assert write.patch == {"status": {"conditions": [resizing, unused_above]}}
    after = merged(claim, write.patch)
    assert to_tenant(mirror, after, ACME) == []
    assert to_tenant(live(to_super(claim), status=STATUS), claim, ACME) == []


def test_the_class_given_below_goes_up_unless_an_annotation_names_it() -> None:
    claim = without(a_claim(), "storageClassName")
    mirror = live(to_super(admitted(claim, DEFAULT)), status=claim["status"])
    assert to_tenant(mirror, claim, ACME) == [Write("", {"spec": {"storageClassName": "slow"}})]
    annotated = claim | {"metadata": metadata("data", annotations={CLASS_ANNOTATION: "slow"})}
    assert to_tenant(mirror, annotated, ACME) == []


def test_the_volume_is_linked() -> None:
    link = PERSISTENT_VOLUME_CLAIM.link
    assert link is not None
    mirror = live(to_super(a_claim()))
    assert link.target(mirror) is None
    mirror["spec"] = mirror["spec"] | {"volumeName": "disk-1"}
    assert link.target(mirror) == Target(ObjectKey("", "disk-1"))
    assert (
        link.replaced(mirror, ObjectKey("", "disk-1-x"), "uid")["spec"]["volumeName"] == "disk-1-x"
    )
    assert mirror["spec"]["volumeName"] == "disk-1", "what was given is not changed"


def test_reserved_keys_are_refused() -> None:
    with pytest.raises(Refused, match=api.PREFIX):
        to_super(a_claim({api.UID_ANNOTATION: "forged"}))
