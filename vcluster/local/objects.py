"""What the super cluster must hold before tenants can be made: definitions, rights, nodes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from kube import resources
from kube.resources import Resource
from vcluster.api import Object
from vcluster.assets import charts_directory, templates_directory
from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.manifests import KUBERNETES_ENDPOINTS, Manifests
from vcluster.control_plane.resources import APPLIED, ENDPOINTS
from vcluster.local.nodes import LABEL, wanted_nodes
from vcluster.local.options import Options
from vcluster.local.real_nodes import folders

SYSTEM_NAMESPACE = "virtualcluster-system"
"""Where our own programs belong."""
TENANTS_NAMESPACE = "tenants"
"""Where VirtualClusters are created unless told otherwise."""

DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False
)
_RBAC = "rbac.authorization.k8s.io"
_RESOURCES = {
    resource.kind: resource
    for resource in (
        resources.NAMESPACES,
        resources.SERVICE_ACCOUNTS,
        resources.PRIORITY_CLASSES,
        resources.STORAGE_CLASSES,
        resources.RUNTIME_CLASSES,
        Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False),
        Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
        Resource(_RBAC, "v1", "roles", "Role"),
        Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
        Resource(
            "virtualcluster.dev", "v1alpha1", "virtualclusterclasses", "VirtualClusterClass", False
        ),
    )
}

Wait = Callable[[str, Callable[[], bool], float], None]
"""Wait for a condition: what it is, the condition, at most how many seconds."""


def apply_definitions(cluster: Cluster, wait: Wait) -> None:
    """The CRDs of the chart; returns when they are served."""
    definitions = list(_documents(charts_directory() / "virtualcluster" / "crds"))
    for definition in definitions:
        cluster.apply(DEFINITIONS, definition)
    for definition in definitions:
        name = definition["metadata"]["name"]

        def established(name: str = name) -> bool:
            found = cluster.get(DEFINITIONS, name) or {}
            conditions = found.get("status", {}).get("conditions") or []
            return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

        wait(f"definition {name} is established", established, 30.0)


def apply_chart(cluster: Cluster) -> None:
    """Namespaces, the rights of our programs and the default class, from the chart's files."""
    for name in (SYSTEM_NAMESPACE, TENANTS_NAMESPACE):
        namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        cluster.apply(resources.NAMESPACES, namespace)
    for document in _documents(charts_directory() / "virtualcluster" / "templates"):
        cluster.apply(_RESOURCES[document["kind"]], document)


def apply_simulation(cluster: Cluster) -> None:
    """The rights of kwok, of the API server, and of who makes volumes."""
    for document in _documents(templates_directory() / "local", "rbac.yaml"):
        cluster.apply(_RESOURCES[document["kind"]], document)


def apply_endpoints(cluster: Cluster, address: str, port: int) -> None:
    """Where the super cluster's own ``default/kubernetes`` leads to; nowhere without an address."""
    if address:
        manifests = Manifests(templates_directory())
        for document in manifests.render(KUBERNETES_ENDPOINTS, address=address, port=port):
            cluster.apply(APPLIED[document["apiVersion"], document["kind"]], document)
        return
    for resource in (resources.ENDPOINT_SLICES, ENDPOINTS):
        cluster.delete(resource, "kubernetes", "default")


def apply_storage(cluster: Cluster, wanted: bool) -> None:
    """The class of the real nodes' volumes; without nodes there is none. Volumes stay."""
    if wanted:
        cluster.apply(resources.STORAGE_CLASSES, folders.storage_class())
    else:
        cluster.delete(resources.STORAGE_CLASSES, folders.CLASS)


def apply_nodes(cluster: Cluster, options: Options, node_agent: str) -> list[str]:
    """Make the simulated nodes as wanted, remove what is too many; the names of the wanted."""
    nodes = wanted_nodes(options, node_agent)
    names = [node["metadata"]["name"] for node in nodes]
    for node in cluster.list(resources.NODES, selector=LABEL):
        if node["metadata"]["name"] not in names:
            cluster.delete(resources.NODES, node["metadata"]["name"])
    for node in nodes:
        whole = {key: value for key, value in node.items() if key != "status"}
        cluster.apply(resources.NODES, whole)
        cluster.apply(resources.NODES, _status_only(node), "status")
    return names


def nodes_ready(cluster: Cluster, names: list[str]) -> bool:
    """Whether all named nodes are there and Ready."""
    ready = {
        node["metadata"]["name"]
        for node in cluster.list(resources.NODES)
        for condition in node.get("status", {}).get("conditions") or []
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    return ready.issuperset(names)


def _status_only(node: Object) -> Object:
    return node | {"metadata": {"name": node["metadata"]["name"]}}


def _documents(directory: Path, pattern: str = "*.yaml") -> Iterator[Object]:
    """The objects in a chart's files, which use no more of Helm than the release's namespace."""
    for path in sorted(directory.glob(pattern)):
        text = path.read_text().replace("{{ .Release.Namespace }}", SYSTEM_NAMESPACE)
        yield from (document for document in yaml.safe_load_all(text) if document)
