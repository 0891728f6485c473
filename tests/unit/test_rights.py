"""Our programs are given no right that their code cannot use."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kube import resources
from kube.resources import Resource
from node_agent import routes
from node_agent.routes import Report, Verb
from syncer.admission.gangs import OWNERS, POD_GROUPS
from syncer.tenants import VIRTUAL_CLUSTERS
from vcluster.api import CLIENT_CA_CONFIG_MAP
from vcluster.assets import charts_directory, templates_directory
from vcluster.control_plane import resources as control_plane_resources
from vcluster.control_plane.effective import effective
from vcluster.control_plane.front_door import values
from vcluster.control_plane.manifests import Manifests
from vcluster.control_plane.resources import APPLIED

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


ALL_OPTIONS = {"ingresses": True, "volumeSnapshots": True, "resourceClaims": True}
ANY_NODE = "arbitrary-node:"
"""Before a verb, where an API server asks whether the devices of every node may be written of."""


def rules_of_the_syncer() -> list[object]:
    """In the super cluster, and in a tenant."""
    chart = charts_directory() / "virtualcluster" / "templates" / "rbac-syncer.yaml"
    text = chart.read_text().replace("{{ .Release.Namespace }}", "virtualcluster-system")
    bootstrapped = Manifests(templates_directory()).render(
        "tenant/rbac.yaml.j2", **values(effective({}, {"spec": {"sync": ALL_OPTIONS}}))
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
    assert {verb.removeprefix(ANY_NODE) for verb in rule["verbs"]} <= VERBS
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


OPERATOR = ("vcluster/control_plane", "vcluster/operator")
APPLY = frozenset({"patch", "create"})
"""Server-side apply is a patch, and what is not there yet is created."""
OPERATOR_VERBS = {
    "get": {"get"}, "list": {"list"}, "create": {"create"}, "delete": {"delete"}, "apply": APPLY,
}  # fmt: skip
CONVERGED = {"get", *APPLY}
KOPF = {
    "virtualclusters": {"list", "watch", "patch"},  # its handlers; finalizer and progress
    "customresourcedefinitions": {"list", "watch"},  # whether the kind is served
}
"""What the framework does by itself (kopf's documentation, "Deployment: RBAC")."""


def used_by_the_operator() -> dict[str, set[str]]:
    """Verbs by resource (and subresource): its calls on the super cluster, what it applies by template."""
    named = RESOURCES | {
        name: found
        for name, found in vars(control_plane_resources).items()
        if isinstance(found, Resource)
    }
    pairs = {resource: set(verbs) for resource, verbs in KOPF.items()}
    for node in (node for package in OPERATOR for node in nodes_of(package)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        verbs = OPERATOR_VERBS.get(node.func.attr)
        receiver = ast.unparse(node.func.value)
        if verbs and receiver.split(".")[-1].lstrip("_") == "cluster" and node.args:
            resource = named.get(ast.unparse(node.args[0]))
            last = ast.unparse(node.args[-1])
            if resource is not None:
                plural = f"{resource.plural}/status" if last == "'status'" else resource.plural
                pairs.setdefault(plural, set()).update(verbs)
    for name in (*CONTROL_PLANE_TEMPLATES, "Secret"):
        kind = next(item for item in APPLIED.values() if item.kind == name)
        pairs.setdefault(kind.plural, set()).update(APPLY if name == "Secret" else CONVERGED)
    return pairs


def kinds_of(directory: str) -> set[str]:
    """The kinds of the objects in a folder of templates."""
    texts = [path.read_text() for path in (templates_directory() / directory).glob("*.j2")]
    return {line.removeprefix("kind: ") for text in texts for line in text.splitlines()
            if line.startswith("kind: ")}  # fmt: skip


CONTROL_PLANE_TEMPLATES = kinds_of("control-plane") - {"ServiceCIDR"}
"""A range is created, never applied: who creates it first has it."""


def rules_in(file: str) -> list[object]:
    text = (charts_directory() / "virtualcluster" / "templates" / file).read_text()
    documents = yaml.safe_load_all(
        text.replace("{{ .Release.Namespace }}", "virtualcluster-system")
    )
    return [
        pytest.param(rule, id="-".join(rule["resources"]))
        for document in documents
        for rule in document.get("rules", [])
    ]


@pytest.mark.parametrize("rule", rules_in("rbac-operator.yaml"))
def test_the_operator_has_no_right_that_it_cannot_use(rule: dict[str, list[str]]) -> None:
    used_verbs = used_by_the_operator()
    for resource in rule["resources"]:
        assert set(rule["verbs"]) <= used_verbs[resource], resource


def test_the_operator_has_every_right_that_it_uses() -> None:
    granted: dict[str, set[str]] = {}
    for parameters in rules_in("rbac-operator.yaml"):
        (rule,) = parameters.values  # type: ignore[attr-defined]
        for resource in rule["resources"]:
            granted.setdefault(resource, set()).update(rule["verbs"])
    # A status is of an object that is there.
    wanted = used_by_the_operator()
    wanted["virtualclusters/status"] -= {"create"}
    assert granted == wanted


def kubelet_resource(path: str) -> str:
    """What a kubelet takes a path for when it asks whether we may (pkg/kubelet/server/auth.go)."""
    root = path.split("/")[1]
    return {"pods": "pods", "runningpods": "pods", "stats": "stats", "metrics": "metrics"}.get(
        root, "proxy"
    )


def used_by_the_node_agent() -> dict[str, set[str]]:
    pairs: dict[str, set[str]] = {
        f"nodes/{kubelet_resource(report.value)}": {"get"} for report in Report
    }
    methods = {"GET": "get", "POST": "create"}
    for verb in Verb:
        allowed = routes.METHODS.get(verb, ("GET", "POST"))
        resource = f"nodes/{kubelet_resource(f'/{verb.value}/')}"
        pairs.setdefault(resource, set()).update(methods[method] for method in allowed)
    verbs, names, _ = used("node_agent")
    watched = {"list", "watch"} if "Informer" in called("node_agent") else set()
    return pairs | dict.fromkeys(names, verbs | watched)


def called(package: str) -> set[str]:
    return {
        node.func.id
        for node in nodes_of(package)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


@pytest.mark.parametrize("rule", rules_in("rbac-node-agent.yaml"))
def test_the_node_agent_has_no_right_that_it_cannot_use(rule: dict[str, list[str]]) -> None:
    pairs = used_by_the_node_agent()
    for resource in rule["resources"]:
        assert set(rule["verbs"]) <= pairs[resource], resource
        assert resource != "configmaps" or rule["resourceNames"] == [CLIENT_CA_CONFIG_MAP]
