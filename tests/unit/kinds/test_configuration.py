"""ConfigMaps and Secrets, downward."""

import copy
from typing import Any

import pytest

from kube.objects import Object
from syncer.kinds.configuration import CONFIG_MAP, SECRET
from syncer.kinds.mirror import Recreate, Refused
from tests.unit.kinds.builders import ACME, live, merged, metadata
from vcluster import api

TOKEN = "kubernetes.io/service-account-token"


def a_config_map(name: str = "settings", **fields: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), **fields}


def a_secret(type_: str = "Opaque", annotations: dict[str, str] | None = None) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata("password", annotations=annotations or {}),
        "data": {"password": "aHVudGVyMg=="},
        "type": type_,
    }


def config_map_to_super(source: Object) -> Object:
    wanted = CONFIG_MAP.to_super(source, ACME)
    assert wanted is not None
    return wanted


def secret_to_super(source: Object) -> Object:
    wanted = SECRET.to_super(source, ACME)
    assert wanted is not None
    return wanted


def test_both_go_down_only_on_demand() -> None:
    assert CONFIG_MAP.on_demand
    assert SECRET.on_demand


def test_name_and_every_field_stay() -> None:
    fields: dict[str, Any] = {
        "data": {"a": "1"},
        "binaryData": {"b": "AA=="},
        "immutable": True,
        "novel": [1],
    }
    wanted = config_map_to_super(a_config_map(**fields))
    assert wanted["metadata"]["name"] == "settings"
    assert {field: wanted[field] for field in fields} == fields


def test_the_root_ca_goes_down_beside_the_super_clusters_own() -> None:
    wanted = config_map_to_super(a_config_map("kube-root-ca.crt"))
    assert wanted["metadata"]["name"] == api.MIRRORED_ROOT_CA_CONFIG_MAP
    assert wanted["metadata"]["annotations"][api.NAME_ANNOTATION] == "kube-root-ca.crt"


def test_no_other_config_map_takes_the_place_of_the_root_ca() -> None:
    with pytest.raises(Refused, match="choose another name"):
        CONFIG_MAP.to_super(a_config_map(api.MIRRORED_ROOT_CA_CONFIG_MAP), ACME)


def test_the_super_clusters_token_controller_sees_no_service_account_token() -> None:
    annotations = {"kubernetes.io/service-account.name": "builder", "note": "kept"}
    wanted = secret_to_super(a_secret(TOKEN, annotations))
    assert wanted["type"] == "Opaque"
    assert "kubernetes.io/service-account.name" not in wanted["metadata"]["annotations"]
    assert wanted["metadata"]["annotations"]["note"] == "kept"
    assert wanted["data"] == a_secret()["data"]


@pytest.mark.parametrize("type_", ["Opaque", "kubernetes.io/tls", "example.com/any"])
def test_other_types_stay(type_: str) -> None:
    assert secret_to_super(a_secret(type_))["type"] == type_


def test_a_bootstrap_token_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        SECRET.to_super(a_secret("bootstrap.kubernetes.io/token"), ACME)
    assert refused.value.field == "type"


def test_a_refusal_does_not_tell_the_secret() -> None:
    with pytest.raises(Refused) as refused:
        SECRET.to_super(a_secret("bootstrap.kubernetes.io/token"), ACME)
    assert "aHVudGVyMg" not in str(refused.value)


def test_a_patch_carries_only_the_difference() -> None:
    mirror = live(config_map_to_super(a_config_map(data={"a": "1", "b": "2", "c": "3"})))
    wanted = config_map_to_super(a_config_map(data={"a": "1", "b": "two"}))
    patch = CONFIG_MAP.patch(mirror, wanted)
    assert patch is not None
    assert patch["data"] == {"b": "two", "c": None}
    assert CONFIG_MAP.patch(merged(mirror, patch), wanted) is None


def test_data_that_the_tenant_removed_altogether_goes() -> None:
    mirror = live(config_map_to_super(a_config_map(data={"a": "1"})))
    patch = CONFIG_MAP.patch(mirror, config_map_to_super(a_config_map()))
    assert patch is not None
    assert patch["data"] is None


def test_data_and_immutability_may_come_in_one_patch() -> None:
    mirror = live(config_map_to_super(a_config_map(data={"a": "1"})))
    wanted = config_map_to_super(a_config_map(data={"a": "2"}, immutable=True))
    patch = CONFIG_MAP.patch(mirror, wanted)
    assert patch is not None
    assert (patch["data"], patch["immutable"]) == ({"a": "2"}, True)


def test_the_labels_of_an_immutable_object_change_in_place() -> None:
    mirror = live(config_map_to_super(a_config_map(data={"a": "1"}, immutable=True)))
    relabelled = a_config_map(data={"a": "1"}, immutable=True)
    relabelled["metadata"]["labels"] = {"x": "y"}
    patch = CONFIG_MAP.patch(mirror, config_map_to_super(relabelled))
    assert patch is not None
    assert patch["metadata"]["labels"] == {"x": "y"}


@pytest.mark.parametrize(
    "other", [{"data": {"a": "2"}, "immutable": True}, {"data": {"a": "1"}}, {"immutable": True}]
)
def test_an_immutable_object_is_made_anew(other: dict[str, Any]) -> None:
    mirror = live(config_map_to_super(a_config_map(data={"a": "1"}, immutable=True)))
    with pytest.raises(Recreate):
        CONFIG_MAP.patch(mirror, config_map_to_super(a_config_map(**other)))


def test_a_secret_of_another_type_is_made_anew() -> None:
    with pytest.raises(Recreate):
        SECRET.patch(
            live(secret_to_super(a_secret())), secret_to_super(a_secret("example.com/any"))
        )


@pytest.mark.parametrize("type_", ["Opaque", TOKEN])
def test_the_input_is_left_alone(type_: str) -> None:
    source = a_secret(type_, {"kubernetes.io/service-account.name": "builder"})
    before = copy.deepcopy(source)
    secret_to_super(source)
    assert source == before
