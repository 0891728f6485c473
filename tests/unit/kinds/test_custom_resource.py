"""Custom resources of a class's configuration, downward and upward."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.objects import Object
from syncer.kinds.custom_resource import custom_resource_down, custom_resource_up, patch
from syncer.kinds.mirror import Refused, Write
from syncer.kinds.pod_volumes import Reference
from tests.unit.kinds.builders import ACME, live, merged, metadata
from vcluster import api
from vcluster.sync import CustomResource, FieldReference, Sync

REFERENCES = (
    FieldReference("spec.secretName", "Secret"),
    FieldReference("spec.sources[].configMap.name", "ConfigMap"),
    FieldReference("spec.names[]", "Namespace"),
)
WIDGETS = CustomResource("example.com", "v1", "widgets", "Widget", references=REFERENCES)
FLAVORS = CustomResource("example.com", "v1", "flavors", "Flavor", direction="up")
TENANT = msgspec.structs.replace(ACME, sync=Sync(custom_resources=(WIDGETS, FLAVORS)))
KIND = custom_resource_down(WIDGETS)


def a_widget(**spec: Any) -> Object:
    return {"metadata": metadata("one"), "spec": {"size": 1, **spec}, "status": {"ready": False}}


def down(widget: Object) -> Object:
    wanted = KIND.to_super(widget, TENANT)
    assert wanted is not None
    return wanted


def test_where_it_is_served_and_how_it_is_told_from_others() -> None:
    resource = KIND.resource
    assert resource.path("web", "one") == "/apis/example.com/v1/namespaces/web/widgets/one"
    newer = custom_resource_down(msgspec.structs.replace(WIDGETS, version="v2"))
    assert newer.resource.plural != resource.plural
    assert resource.plural != "widgets"


def test_only_tenants_whose_options_have_the_type_and_version() -> None:
    assert KIND.enabled(TENANT)
    assert not KIND.enabled(ACME)
    other = Sync(custom_resources=(msgspec.structs.replace(WIDGETS, version="v2"),))
    assert not KIND.enabled(msgspec.structs.replace(ACME, sync=other))


def test_it_goes_down_whole_without_its_status() -> None:
    wanted = down(a_widget() | {"data": {"a": [1]}})
    assert (wanted["apiVersion"], wanted["kind"]) == ("example.com/v1", "Widget")
    assert wanted["spec"] == {"size": 1}
    assert wanted["data"] == {"a": [1]}
    assert "status" not in wanted


def test_what_it_names_is_translated() -> None:
    sources = [{"configMap": {"name": api.ROOT_CA_CONFIG_MAP}}, {"configMap": {"name": "b"}}, 7]
    spec = down(a_widget(secretName="s", sources=sources, names=["web", ""]))["spec"]
    assert spec["secretName"] == "s"
    assert spec["sources"][0] == {"configMap": {"name": api.MIRRORED_ROOT_CA_CONFIG_MAP}}
    assert spec["sources"][1:] == sources[1:]
    assert spec["names"] == [api.super_namespace(ACME.key, "web"), ""]


def test_what_it_names_goes_down_for_it() -> None:
    assert KIND.references is not None
    sources = [{"configMap": {"name": "a"}}, {"configMap": {"name": "a"}}, {"secret": "x"}]
    widget = a_widget(secretName="s", sources=sources, names=["web"])
    assert KIND.references(widget, TENANT) == (
        Reference("secrets", "s", True),
        Reference("configmaps", "a", True),
    )
    assert KIND.references(a_widget(), TENANT) == ()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["sources", "configMap", "name"]), inner, max_size=3)
        ),
    )
)
def test_no_shape_of_a_spec_breaks_it(spec: Any) -> None:
    widget = a_widget() | {"spec": spec}
    assert down(widget)["kind"] == "Widget"
    assert KIND.references is not None
    KIND.references(widget, TENANT)


def test_a_cluster_scoped_object_of_a_tenants_own_type_is_refused() -> None:
    widget = a_widget()
    widget["metadata"]["namespace"] = ""
    with pytest.raises(Refused, match=r"metadata\.namespace"):
        down(widget)


def test_what_a_controller_adds_below_stays_and_what_the_tenant_removes_goes() -> None:
    mirror = live(down(a_widget(color="red") | {"data": {"a": 1}}))
    mirror["spec"] = mirror["spec"] | {"boundTo": "x"}
    mirror["extra"] = {"y": 1}
    assert patch(mirror, down(a_widget(color="red") | {"data": {"a": 1}})) is None
    wanted = down(a_widget(size=2))
    changed = merged(mirror, patch(mirror, wanted))
    assert changed["spec"] == {"size": 2, "boundTo": "x"}
    assert changed["extra"] == {"y": 1}
    assert "data" not in changed
    assert patch(changed, wanted) is None


def test_the_status_goes_up_with_the_tenants_name_of_the_namespace() -> None:
    assert KIND.to_tenant is not None
    below = api.super_namespace(ACME.key, "web")
    mirror = a_widget() | {"status": {"ready": True, "notes": [f"in {below}/one"]}}
    [write] = KIND.to_tenant(mirror, a_widget(), TENANT)
    assert write == Write("status", {"status": {"ready": True, "notes": ["in web/one"]}})
    assert KIND.to_tenant(a_widget() | {"status": {}}, a_widget(), TENANT) == []


def test_public_objects_of_a_type_that_goes_up_are_shown() -> None:
    kind = custom_resource_up(FLAVORS)
    assert (kind.enabled(TENANT), kind.enabled(ACME)) == (True, False)
    public = {"metadata": metadata("fast", labels={api.PUBLIC_LABEL: "true"}), "spec": {"cpu": 1}}
    shown = kind.to_tenant(public, TENANT)
    assert shown is not None
    assert shown["spec"] == {"cpu": 1}
    assert kind.to_tenant({"metadata": metadata("own"), "spec": {}}, TENANT) is None
