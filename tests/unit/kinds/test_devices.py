"""Device classes and the devices of nodes, upward."""

from typing import Any

import msgspec
import pytest

from kube.objects import Object
from syncer.kinds.devices import DEVICE_CLASS, RESOURCE_SLICE, node_of
from syncer.kinds.mirror import Recreate
from tests.unit.kinds.builders import ACME, metadata
from vcluster import api
from vcluster.sync import Sync

TENANT = msgspec.structs.replace(ACME, sync=Sync(resource_claims=True))


def a_slice(**spec: Any) -> Object:
    base = {
        "driver": "gpu.example.com",
        "nodeName": "node-1",
        "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0"}],
    }
    return {"metadata": metadata("node-1-gpu", namespace=""), "spec": base | spec}


def shown(source: Object) -> Object:
    found = RESOURCE_SLICE.to_tenant(source, TENANT)
    assert found is not None
    return found


def test_a_public_class_is_shown_without_its_drivers_parameters() -> None:
    selectors = [{"cel": {"expression": "true"}}]
    config = [{"opaque": {"driver": "d", "parameters": {"key": "secret"}}}]
    spec = {"selectors": selectors, "extendedResourceName": "example.com/gpu", "config": config}
    source = {"metadata": metadata("gpu", labels={api.PUBLIC_LABEL: "true"}), "spec": spec}
    found = DEVICE_CLASS.to_tenant(source, TENANT) or {}
    assert found["spec"] == {"selectors": selectors, "extendedResourceName": "example.com/gpu"}
    assert DEVICE_CLASS.to_tenant(source | {"metadata": metadata("gpu")}, TENANT) is None


@pytest.mark.parametrize("kind", [DEVICE_CLASS, RESOURCE_SLICE])
def test_only_tenants_with_the_option_see_them(kind: Any) -> None:
    assert kind.enabled(TENANT)
    assert not kind.enabled(ACME)


def test_a_slice_is_of_its_node_and_one_of_the_network_of_none() -> None:
    assert node_of(a_slice()) == "node-1"
    assert node_of(a_slice(nodeName=None, allNodes=True)) == ""


def test_what_the_tenant_changes_is_put_back() -> None:
    wanted = shown(a_slice())
    changed = wanted | {"spec": wanted["spec"] | {"devices": []}}
    [write] = RESOURCE_SLICE.patch(changed, wanted)
    assert write.patch == {"spec": {"devices": [{"name": "gpu-0"}]}}
    assert not RESOURCE_SLICE.patch(wanted, wanted)


def test_a_slice_of_the_tenants_own_is_left_alone() -> None:
    assert not RESOURCE_SLICE.patch(a_slice(devices=[]), shown(a_slice()))


@pytest.mark.parametrize(
    "spec",
    [{"nodeName": "node-2"}, {"driver": "other.example.com"}, {"pool": {"name": "other"}}],
)
def test_a_slice_of_other_devices_is_made_anew(spec: Object) -> None:
    with pytest.raises(Recreate):
        RESOURCE_SLICE.patch(shown(a_slice()), shown(a_slice(**spec)))


def test_a_new_generation_of_a_pool_is_a_change_in_place() -> None:
    pool = {"name": "node-1", "generation": 2, "resourceSliceCount": 1}
    [write] = RESOURCE_SLICE.patch(shown(a_slice()), shown(a_slice(pool=pool)))
    assert write.patch == {"spec": {"pool": {"generation": 2}}}
