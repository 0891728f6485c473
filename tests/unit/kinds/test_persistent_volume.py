"""PersistentVolumes, upward."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.objects import Object, ObjectKey
from syncer.kinds.mirror import Recreate, Target, Write
from syncer.kinds.persistent_volume import PERSISTENT_VOLUME, released
from tests.unit.kinds.builders import ACME, SUPER_UID, live, merged, metadata
from vcluster import api

CLAIM_UID = "44444444-4444-4444-4444-444444444444"
ABOVE = ObjectKey("web", "data")
REFERENCE = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "namespace": "acme-1f3a9c2e-web",
    "name": "data",
    "uid": CLAIM_UID,
    "resourceVersion": "77",
}
CSI = {
    "driver": "csi.example.com",
    "volumeHandle": "volume-7",
    "fsType": "ext4",
    "volumeAttributes": {"server": "10.0.0.7", "pool": "customers"},
    "nodeStageSecretRef": {"name": "admin", "namespace": "ceph"},
    "controllerExpandSecretRef": {"name": "admin", "namespace": "ceph"},
}


def a_volume(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": metadata(
            "pvc-1",
            uid=SUPER_UID,
            labels={"topology.kubernetes.io/zone": "a"},
            annotations={"volume.kubernetes.io/provisioner-deletion-secret-name": "admin"},
        ),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "claimRef": REFERENCE,
            "csi": CSI,
            "storageClassName": "fast",
            "volumeMode": "Filesystem",
            **spec,
        },
        "status": {"phase": "Bound", "message": "secret ceph/admin", "novel": 1},
    }


def shown(volume: Object) -> Object:
    found = PERSISTENT_VOLUME.to_tenant(volume, ACME)
    assert found is not None
    assert PERSISTENT_VOLUME.link is not None
    return PERSISTENT_VOLUME.link.replaced(found, ABOVE, "uid-above")


def test_the_volume_names_the_tenants_claim() -> None:
    wanted = shown(a_volume())
    assert wanted["spec"]["claimRef"] == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": "web",
        "name": "data",
        "uid": "uid-above",
    }
    assert wanted["metadata"]["annotations"][api.UID_ANNOTATION] == SUPER_UID
    assert wanted["metadata"]["annotations"][api.NAME_ANNOTATION] == "pvc-1"
    assert wanted["metadata"]["labels"] == {"topology.kubernetes.io/zone": "a"}


def test_nothing_of_the_super_cluster_shows_even_without_the_link() -> None:
    found = str(PERSISTENT_VOLUME.to_tenant(a_volume(), ACME))
    for text in ("acme-1f3a9c2e", CLAIM_UID, "admin", "ceph", "customers", "10.0.0.7"):
        assert text not in found


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"csi": CSI}, {"driver": "csi.example.com", "volumeHandle": "volume-7", "fsType": "ext4"}),
        ({"nfs": {"server": "nas", "path": "/a"}}, {"server": "nas", "path": "/a"}),
        ({"hostPath": {"path": "/disk"}}, {"path": "/disk"}),
        (
            {"iscsi": {"iqn": "q", "chapAuthSession": True, "secretRef": {"name": "x"}}},
            {"iqn": "q"},
        ),
        (
            {
                "rbd": {
                    "image": "i",
                    "monitors": ["m"],
                    "user": "u",
                    "keyring": "/k",
                    "secretRef": {},
                }
            },
            {"image": "i", "monitors": ["m"]},
        ),
        (
            {"azureFile": {"shareName": "s", "secretName": "key", "secretNamespace": "system"}},
            {"shareName": "s", "secretName": "hidden"},
        ),
        ({"novel": {"a": [{"b": 1, "secretRef": {"name": "x"}}]}}, {"a": [{"b": 1}]}),
    ],
)
def test_a_source_shows_no_secret(spec: Object, expected: Object) -> None:
    (field,) = spec
    assert shown(a_volume(**spec))["spec"][field] == expected


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(
    st.sampled_from(["secretRef", "nodePublishSecretRef", "path", "volumeAttributes", "x"]), inner
)))  # fmt: skip
def test_no_depth_hides_a_secret(source: Any) -> None:
    found = str(shown(a_volume(novel={"source": source})))
    assert "ecretRef" not in found
    assert "volumeAttributes" not in found


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (REFERENCE, Target(ObjectKey("acme-1f3a9c2e-web", "data"), CLAIM_UID)),
        ({"namespace": "acme-1f3a9c2e-web", "name": "data"}, None),  # reserved, not bound
        ({}, None),
        (None, None),
    ],
)
def test_whose_volume_it_is(reference: Any, expected: Target | None) -> None:
    assert PERSISTENT_VOLUME.link is not None
    assert PERSISTENT_VOLUME.link.target(a_volume(claimRef=reference)) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"csi": CSI}, {"csi": CSI | {"volumeHandle": "volume-8"}}),
        ({"csi": CSI}, {"csi": CSI, "local": {"path": "/x"}}),
        ({"volumeMode": "Filesystem"}, {"volumeMode": "Block"}),
        ({"nodeAffinity": {"required": {"a": 1}}}, {"nodeAffinity": {"required": {"a": 2}}}),
    ],
)
def test_what_never_changes_in_place_needs_a_new_copy(before: Object, after: Object) -> None:
    with pytest.raises(Recreate):
        PERSISTENT_VOLUME.patch(live(shown(a_volume(**before))), shown(a_volume(**after)))


def test_size_claim_and_status_change_in_place() -> None:
    copy = live(shown(a_volume()))
    volume = a_volume(capacity={"storage": "2Gi"})
    volume["status"] = {"phase": "Released"}
    body, status = PERSISTENT_VOLUME.patch(copy, shown(volume))
    assert body == Write("", {"spec": {"capacity": {"storage": "2Gi"}}})
    assert status == Write("status", {"status": {"phase": "Released", "novel": None}})
    assert (
        PERSISTENT_VOLUME.patch(merged(merged(copy, body.patch), status.patch), shown(volume)) == []
    )


def test_defaults_for_what_is_hidden_are_no_difference() -> None:
    rbd = {"image": "i", "monitors": ["m"], "user": "kube", "keyring": "/k"}
    copy = live(shown(a_volume(rbd=rbd)))
    copy["spec"] = merged(copy["spec"], {"rbd": {"user": "admin", "keyring": "/etc/keyring"}})
    assert PERSISTENT_VOLUME.patch(copy, shown(a_volume(rbd=rbd))) == []


def test_a_volume_that_the_tenant_made_itself_is_left_alone() -> None:
    own = a_volume() | {"metadata": metadata("pvc-1", annotations={})}
    assert PERSISTENT_VOLUME.patch(own, shown(a_volume())) == []


def test_a_bound_copy_is_released_before_it_goes() -> None:
    assert released(a_volume()) == [Write("status", {"status": {"phase": "Released"}})]
    assert released(a_volume() | {"status": {"phase": "Released"}}) == []


def test_the_digest_tells_whose_it_is_and_what_is_shown() -> None:
    touched = a_volume()
    touched["metadata"] |= {"resourceVersion": "99", "annotations": {"other": "1"}}
    touched["status"] |= {"message": "other"}
    same = PERSISTENT_VOLUME.digest(a_volume())
    assert PERSISTENT_VOLUME.digest(touched) == same
    for changed in (
        a_volume(claimRef=REFERENCE | {"uid": "other"}),
        a_volume(capacity={"storage": "2Gi"}),
        a_volume() | {"status": {"phase": "Released"}},
    ):
        assert PERSISTENT_VOLUME.digest(changed) != same
