"""Templates: strict about values, and no value breaks the YAML."""

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcluster import api
from vcluster.assets import templates_directory
from vcluster.control_plane import front_door
from vcluster.control_plane.apply import contains, different
from vcluster.control_plane.effective import effective
from vcluster.control_plane.manifests import Manifests
from vcluster.control_plane.resources import APPLIED
from vcluster.sync import CustomResource, Sync

MANIFESTS = Manifests(templates_directory())
SYNC = Sync(
    ingresses=True,
    volume_snapshots=True,
    resource_claims=True,
    custom_resources=(
        CustomResource("example.com", "v1", "widgets", "Widget"),
        CustomResource("example.com", "v1", "flavors", "Flavor", "up"),
    ),
)
ROOT = "control-plane/root-namespace.yaml.j2"


@given(st.text(max_size=40))
def test_a_value_stays_a_value(name: str) -> None:
    [namespace] = MANIFESTS.render(
        ROOT, key="key", bucket="1", namespace="tenants", name=name, uid="uid"
    )
    assert namespace["metadata"]["annotations"][api.OWNER_NAME_ANNOTATION] == name


def test_a_missing_value_fails() -> None:
    with pytest.raises(jinja2.UndefinedError):
        MANIFESTS.render(ROOT, key="key")


def test_the_root_namespace_is_marked() -> None:
    [namespace] = MANIFESTS.render(
        ROOT, key="team-a-1", bucket="7", namespace="tenants", name="team-a", uid="uid"
    )
    metadata = namespace["metadata"]
    assert metadata["labels"][api.TENANT_LABEL] == "team-a-1"
    assert metadata["labels"][api.BUCKET_LABEL] == "7"
    assert metadata["annotations"][api.OWNER_UID_ANNOTATION] == "uid"
    assert metadata["annotations"][api.OWNER_NAMESPACE_ANNOTATION] == "tenants"


def test_every_bootstrap_object_is_of_a_kind_that_the_operator_applies() -> None:
    for path in (templates_directory() / "tenant").glob("*.j2"):
        values = front_door.values(effective({}, {}))
        values |= {"address": "10.0.0.10", "image": "dns", "port": 6443, "key": "a-1", "sync": SYNC}
        for obj in MANIFESTS.render(f"tenant/{path.name}", **values):
            assert (obj["apiVersion"], obj["kind"]) in APPLIED


def test_the_syncer_gets_rights_for_what_the_options_mirror_and_for_no_more() -> None:
    def given(sync: Sync) -> dict[str, set[str]]:
        values = front_door.values(effective({}, {})) | {"sync": sync}
        rendered = MANIFESTS.render("tenant/rbac.yaml.j2", **values)
        role = next(obj for obj in rendered if obj["metadata"]["name"] == "virtualcluster:syncers")
        rights: dict[str, set[str]] = {}
        for rule in role["rules"]:
            for resource in rule["resources"]:
                rights.setdefault(resource, set()).update(rule["verbs"])
        return rights

    more, standard = given(SYNC), given(Sync())
    assert more["widgets"] == more["ingresses"] == {"get", "list", "watch"}
    assert more["widgets/status"] == more["volumesnapshots/status"] == {"patch"}
    assert "create" in more["flavors"]
    assert more["resourceclaims"] == {"get", "list", "watch", "patch"}
    assert more["resourceclaims/binding"] == more["resourceclaims/status"] == {"patch"}
    assert more["resourceclaims/driver"] == {"arbitrary-node:patch"}
    optional = {"customresourcedefinitions", "flavors", "ingresses", "volumesnapshotclasses"}
    optional |= {"deviceclasses", "resourceclaims", "resourceclaims/driver", "resourceslices"}
    assert not optional & standard.keys()


@pytest.mark.parametrize(
    ("live", "wanted", "expected"),
    [
        ({"a": 1, "added": 2}, {"a": 1}, True),
        ({"a": {"b": [1, {"c": 2, "added": 3}]}}, {"a": {"b": [1, {"c": 2}]}}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({}, {"a": None}, False),
        (None, {"a": 1}, False),
    ],
)
def test_contains(live: object, wanted: object, expected: bool) -> None:
    assert contains(live, wanted) is expected


def test_what_a_list_holds_already_is_not_applied_again() -> None:
    wanted = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"key": "dGhl"}}
        for name in ("same", "changed", "missing")
    ]
    # Items of a list carry no apiVersion and kind.
    listed = [
        {"metadata": {"name": "same", "uid": "1"}, "data": {"key": "dGhl", "other": ""}},
        {"metadata": {"name": "changed", "uid": "2"}, "data": {"key": "b3RoZXI="}},
    ]
    assert [obj["metadata"]["name"] for obj in different(listed, wanted)] == ["changed", "missing"]
