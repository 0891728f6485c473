"""Definitions of custom resources: the tenant gets the types that its options name."""

from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds.definition import DEFINITION, metadata_digest, patch, to_tenant
from tests.unit.kinds.builders import ACME, SUPER_UID, live, merged
from vcluster import api
from vcluster.sync import CustomResource, Sync

NAME = "widgets.example.com"
WIDGETS = CustomResource("example.com", "v1", "widgets", "Widget")


def options(**fields: Any) -> Any:
    offered = msgspec.structs.replace(WIDGETS, **fields)
    return msgspec.structs.replace(ACME, sync=Sync(custom_resources=(offered,)))


def a_version(name: str, *, storage: bool = False) -> Object:
    return {"name": name, "served": True, "storage": storage, "schema": {"of": name}}


def a_definition(name: str = NAME, scope: str = "Namespaced") -> Object:
    webhook = {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://x"}}}
    return {
        "metadata": {
            "name": name,
            "uid": SUPER_UID,
            "annotations": {"api-approved.kubernetes.io": "https://x"},
            "generation": 3,
        },
        "spec": {
            "scope": scope,
            "names": {"kind": "Widget"},
            "versions": [a_version("v1"), a_version("v2", storage=True)],
            "conversion": webhook,
        },
    }


def shown(tenant: Any) -> Object:
    wanted = to_tenant(a_definition(), tenant)
    assert wanted is not None
    return wanted


def test_the_tenant_gets_the_one_version_without_the_providers_webhook() -> None:
    wanted = shown(options())
    assert wanted["spec"]["versions"] == [a_version("v1", storage=True)]
    assert wanted["spec"]["conversion"] == {"strategy": "None"}
    assert wanted["spec"]["names"] == {"kind": "Widget"}
    annotations = wanted["metadata"]["annotations"]
    assert annotations[api.UID_ANNOTATION] == SUPER_UID
    assert annotations["api-approved.kubernetes.io"] == "https://x"


@pytest.mark.parametrize(
    ("definition", "tenant"),
    [
        (a_definition(), ACME),
        (a_definition("gadgets.example.com"), options()),
        (a_definition(), options(version="v3")),
        (a_definition(scope="Cluster"), options()),
        (a_definition(), options(direction="up")),
    ],
    ids=["without options", "another", "no such version", "cluster-scoped down", "namespaced up"],
)
def test_any_other_is_not_shown(definition: Object, tenant: Any) -> None:
    assert to_tenant(definition, tenant) is None


def test_snapshots_bring_their_types() -> None:
    tenant = msgspec.structs.replace(ACME, sync=Sync(volume_snapshots=True))
    assert DEFINITION.enabled(tenant)
    for plural, scope in (("volumesnapshots", "Namespaced"), ("volumesnapshotclasses", "Cluster")):
        assert to_tenant(a_definition(f"{plural}.snapshot.storage.k8s.io", scope), tenant)


def test_a_version_that_objects_are_stored_in_is_only_no_longer_served() -> None:
    copy = live(shown(options()), status={"storedVersions": ["v1"]})
    [write] = patch(copy, shown(options(version="v2")))
    assert write.patch["spec"]["versions"] == [
        a_version("v2", storage=True),
        a_version("v1") | {"served": False},
    ]
    assert patch(merged(copy, write.patch), shown(options(version="v2"))) == []


def test_a_type_of_the_tenants_own_is_left_alone() -> None:
    assert patch(a_definition() | {"metadata": {"name": NAME}}, shown(options())) == []


def test_a_change_is_told_by_metadata_alone() -> None:
    before = {"metadata": a_definition()["metadata"]}
    after = {"metadata": before["metadata"] | {"generation": 4}}
    touched = {"metadata": before["metadata"] | {"resourceVersion": "9"}}
    assert metadata_digest(before) == metadata_digest(touched) != metadata_digest(after)
