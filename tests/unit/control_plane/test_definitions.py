"""The CRDs and rights of the chart agree with the contract in vcluster.api."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from vcluster import api
from vcluster.assets import charts_directory
from vcluster.control_plane.conditions import OWNED
from vcluster.control_plane.status import FIELDS

CHART = charts_directory() / "virtualcluster"


def a_definition(plural: str) -> dict[str, Any]:
    loaded = yaml.safe_load((CHART / "crds" / f"{plural}.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def schema(plural: str) -> dict[str, Any]:
    [version] = a_definition(plural)["spec"]["versions"]
    found = version["schema"]["openAPIV3Schema"]["properties"]
    assert isinstance(found, dict)
    return found


def nodes_of(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, part
    for name, child in part.get("properties", {}).items():
        yield from nodes_of(child, f"{path}.{name}")
    if "items" in part:
        yield from nodes_of(part["items"], f"{path}[]")


@pytest.mark.parametrize("plural", [api.VIRTUAL_CLUSTER_PLURAL, api.VIRTUAL_CLUSTER_CLASS_PLURAL])
def test_names_and_structure(plural: str) -> None:
    definition = a_definition(plural)
    assert definition["metadata"]["name"] == f"{plural}.{api.GROUP}"
    assert definition["spec"]["versions"][0]["name"] == api.VERSION
    for path, part in nodes_of({"type": "object", "properties": schema(plural)}):
        assert "type" in part, path
        assert "x-kubernetes-preserve-unknown-fields" not in part, path


def test_the_status_has_a_place_for_all_that_is_written() -> None:
    status = schema(api.VIRTUAL_CLUSTER_PLURAL)["status"]["properties"]
    # quota: written by the syncer
    assert {*FIELDS, "phase", "conditions", "observedGeneration", "quota"} == set(status)
    assert set(status["phase"]["enum"]) == {str(phase) for phase in api.Phase}
    assert set(status["conditions"]["x-kubernetes-list-map-keys"]) == {"type"}


def test_the_operator_owns_every_condition_but_the_syncers() -> None:
    assert set(OWNED) == set(api.Condition) - {api.Condition.SYNCING}


def test_a_tenant_can_say_what_its_class_can() -> None:
    tenant = schema(api.VIRTUAL_CLUSTER_PLURAL)["spec"]["properties"]
    limits = schema(api.VIRTUAL_CLUSTER_CLASS_PLURAL)["spec"]["properties"]
    assert set(tenant) - {"className"} == set(limits)
    for part in ("nodes", "policy", "quota"):
        assert set(tenant[part]["properties"]) == set(limits[part]["properties"])


def test_supported_versions() -> None:
    for plural in (api.VIRTUAL_CLUSTER_PLURAL, api.VIRTUAL_CLUSTER_CLASS_PLURAL):
        version = schema(plural)["spec"]["properties"]["kubernetesVersion"]
        assert version["enum"] == [api.KUBERNETES_VERSION]


@pytest.mark.parametrize("path", sorted((CHART / "templates").glob("rbac-*.yaml")), ids=str)
def test_rights_name_everything_they_give(path: Any) -> None:
    text = path.read_text().replace("{{ .Release.Namespace }}", "virtualcluster-system")
    for document in yaml.safe_load_all(text):
        for rule in document.get("rules", []):
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
