"""Our programs are given no right that their code cannot use."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kube import resources
from kube.resources import Resource
from syncer.admission.gangs import OWNERS, POD_GROUPS
from syncer.tenants import VIRTUAL_CLUSTERS
from vcluster.assets import charts_directory, templates_directory
from vcluster.control_plane.effective import effective
from vcluster.control_plane.front_door import values
from vcluster.control_plane.manifests import Manifests

ROOT = Path(__file__).parents[2]
METHODS = {
    "get": "get",
    "create": "create",
    "update": "update",
    "patch": "patch",
    "delete": "delete",
}
LISTS = {"pages": "list", "watch": "watch"}
RESOURCES = {
    name: found for name, found in vars(resources).items() if isinstance(found, Resource)
} | {"VIRTUAL_CLUSTERS": VIRTUAL_CLUSTERS}


def nodes_of(package: str) -> Iterator[ast.AST]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text()))


def used(package: str) -> tuple[set[str], set[str], set[str]]:
    """Verbs that the package asks of a client, resources that it names, and all its strings."""
    nodes = list(nodes_of(package))
    verbs = {
        (METHODS | LISTS)[node.func.attr]
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in METHODS | LISTS
        and "client" in ast.unparse(node.func.value)
    }
    names = {
        RESOURCES[node.id].plural.partition(".")[0]  # of some kinds it names the group, too
        for node in nodes
        if isinstance(node, ast.Name) and node.id in RESOURCES
    }
    strings = {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return verbs, names, strings


def rules_of_the_syncer() -> list[object]:
    """In the super cluster, and in a tenant."""
    chart = charts_directory() / "virtualcluster" / "templates" / "rbac-syncer.yaml"
    text = chart.read_text().replace("{{ .Release.Namespace }}", "virtualcluster-system")
    bootstrapped = Manifests(templates_directory()).render(
        "tenant/rbac.yaml.j2", **values(effective({}, {}))
    )
    return [
        pytest.param(rule, id=f"{document['metadata']['name']}-{'-'.join(rule['resources'])}")
        for document in [*yaml.safe_load_all(text), *bootstrapped]
        for rule in document.get("rules", [])
    ]


VERBS, NAMES, STRINGS = used("syncer")
NAMES |= {owner.resource.plural for owner in OWNERS.values()} | {POD_GROUPS.plural}


@pytest.mark.parametrize("rule", rules_of_the_syncer())
def test_the_syncer_has_no_right_that_it_cannot_use(rule: dict[str, list[str]]) -> None:
    assert set(rule["verbs"]) <= VERBS
    for resource in rule["resources"]:
        plural, _, subresource = resource.partition("/")
        assert plural in NAMES
        assert not subresource or subresource in STRINGS
        if subresource:
            assert not {"list", "watch", "delete"} & set(rule["verbs"])


def test_the_egress_proxy_reads_what_it_uses_and_no_more() -> None:
    chart = charts_directory() / "virtualcluster" / "templates" / "rbac-egress-proxy.yaml"
    text = chart.read_text().replace("{{ .Release.Namespace }}", "virtualcluster-system")
    rules = [rule for document in yaml.safe_load_all(text) for rule in document.get("rules", [])]
    verbs, names, _ = used("egress_proxy")
    assert {verb for rule in rules for verb in rule["verbs"]} == verbs | {"list", "watch"}
    assert sorted(name for rule in rules for name in rule["resources"]) == sorted(names)


def test_the_syncer_uses_most_verbs() -> None:
    assert {"get", "list", "watch", "create", "update", "patch", "delete"} == VERBS
