"""VolumeSnapshots, downward, and their classes, upward."""

from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds.mirror import Refused, Write
from syncer.kinds.mirror import patch_beside_spec as patch
from syncer.kinds.offers import Offers
from syncer.kinds.persistent_volume_claim import to_super as claim_to_super
from syncer.kinds.volume_snapshot import (
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CLASS,
    admitted,
    to_super,
    to_tenant,
)
from tests.unit.kinds.builders import ACME, live, metadata
from vcluster import api
from vcluster.sync import Sync

OFFERS = Offers(snapshot_classes=frozenset({"daily", "fast"}), default_snapshot_class="daily")
TENANT = msgspec.structs.replace(ACME, sync=Sync(volume_snapshots=True))


def a_snapshot(class_name: str | None = "fast", **source: Any) -> Object:
    source = source or {"persistentVolumeClaimName": "data"}
    return {
        "metadata": metadata("monday"),
        "spec": {"source": source, "volumeSnapshotClassName": class_name},
    }


def test_it_goes_down_naming_the_claim_of_the_same_name() -> None:
    assert to_super(a_snapshot(), ACME)["spec"] == a_snapshot()["spec"]
    assert VOLUME_SNAPSHOT.enabled(TENANT)
    assert not VOLUME_SNAPSHOT.enabled(ACME)


def test_contents_that_are_there_already_could_be_anothers() -> None:
    with pytest.raises(Refused, match=r"snapcontent-1.*persistentVolumeClaimName"):
        to_super(a_snapshot(volumeSnapshotContentName="snapcontent-1"), ACME)


@pytest.mark.parametrize(("named", "given"), [("fast", "fast"), (None, "daily")])
def test_it_gets_an_offered_class(named: str | None, given: str) -> None:
    spec = admitted(a_snapshot(named), OFFERS)["spec"]
    assert spec["volumeSnapshotClassName"] == given


@pytest.mark.parametrize(("named", "offers"), [("internal", OFFERS), (None, Offers())])
def test_any_other_class_is_refused(named: str | None, offers: Offers) -> None:
    with pytest.raises(Refused, match=r"spec\.volumeSnapshotClassName: .*offered: "):
        admitted(a_snapshot(named), offers)


def test_what_was_taken_stays_as_it_was_taken() -> None:
    mirror = live(to_super(a_snapshot(), ACME))
    other = to_super(a_snapshot("daily") | {"novel": 1}, ACME)
    changed = patch(mirror, other) or {}
    assert changed["novel"] == 1
    assert "spec" not in changed


def test_the_status_goes_up_without_the_super_namespace() -> None:
    below = api.super_namespace(ACME.key, "web")
    status = {"readyToUse": False, "error": {"message": f"claim {below}/data is busy"}}
    [write] = to_tenant(a_snapshot() | {"status": status}, a_snapshot(), ACME)
    error = {"message": "claim web/data is busy"}
    assert write == Write("status", {"status": {"readyToUse": False, "error": error}})
    assert to_tenant(a_snapshot(), a_snapshot(), ACME) == []


def test_public_classes_are_shown_without_the_names_of_secrets() -> None:
    source = {
        "metadata": metadata("daily", labels={api.PUBLIC_LABEL: "true"}),
        "driver": "csi.example.com",
        "parameters": {"csi.storage.k8s.io/snapshotter-secret-name": "s"},
    }
    shown = VOLUME_SNAPSHOT_CLASS.to_tenant(source, TENANT)
    assert shown is not None
    assert shown["driver"] == "csi.example.com"
    assert "parameters" not in shown


def test_a_claim_is_filled_from_a_snapshot_if_they_are_mirrored() -> None:
    source = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "monday"}
    claim = {"metadata": metadata("restored"), "spec": {"dataSource": source}}
    assert claim_to_super(claim, TENANT)["spec"]["dataSource"] == source
    with pytest.raises(Refused, match=r"VolumeSnapshot\.snapshot"):
        claim_to_super(claim, ACME)
