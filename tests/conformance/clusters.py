"""The two clusters that the tests run in: a local super cluster with real nodes, and a tenant."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import yaml

from tests.e2e.local_system import Cluster, LocalSystem, Object, wait_for
from vcluster import api
from vcluster.assets import templates_directory
from vcluster.local.real_nodes.configuration import CLUSTER_DNS

NODES = 2
TENANT = "conformance"


def bring_up(system: LocalSystem) -> None:
    """Start the super cluster, or go on with the one that is there."""
    system.vc("up", "--real-nodes", str(NODES), "--cpu-nodes", "0", "--gpu-nodes", "0")


def load(system: LocalSystem, archives: Sequence[Path]) -> None:
    """Put images into its nodes."""
    for archive in archives:
        system.vc("images", "load", str(archive))


def prepare_super(system: LocalSystem) -> Cluster:
    """Give the bare super cluster what `vc up` gives to tenants only, and upstream's tests need.

    That is DNS, and a way from pods to its own API server.
    """
    cluster = system.super
    port = cluster.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    nodes = cluster.items("nodes")
    gateway = _gateway(nodes[0])
    endpoints = {"address": gateway, "port": int(port.rpartition(":")[2])}
    templates: Sequence[tuple[str, Mapping[str, object]]] = (
        ("kubernetes-endpoints", endpoints),
        ("dns", {"key": "no-tenant", "address": CLUSTER_DNS, "image": api.DNS_IMAGE}),
    )
    for template, values in templates:
        cluster.kubectl("apply", "-f", "-", stdin=_render(template, values))
    await_dns(cluster)
    return cluster


def prepare_tenant(system: LocalSystem) -> Cluster:
    """A tenant without a Pod Security Standard, so that what fails is not refused on purpose."""
    class_ = {
        "apiVersion": api.API_VERSION,
        "kind": "VirtualClusterClass",
        "metadata": {"name": TENANT},
        "spec": {"policy": {"podSecurity": "privileged", "deniedTaints": []}},
    }
    system.super.apply(class_)
    spec = {"className": TENANT, "policy": {"podSecurity": "privileged"}}
    system.vc("create", TENANT, "-f", "-", stdin=yaml.safe_dump(spec))
    tenant = system.tenant(TENANT)
    await_dns(tenant)
    return tenant


def _render(template: str, values: Mapping[str, object]) -> str:
    folder = templates_directory() / "tenant"
    loader = jinja2.FileSystemLoader(folder)
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, autoescape=False
    )
    return environment.get_template(f"{template}.yaml.j2").render(values)


def _gateway(node: Object) -> str:
    """The first address of the nodes' network: docs/operations.md, Real nodes."""
    addresses = node["status"]["addresses"]
    internal = next(item["address"] for item in addresses if item["type"] == "InternalIP")
    return f"{internal.rpartition('.')[0]}.1"


def await_dns(cluster: Cluster) -> None:
    """Return when names can be asked for."""

    def available() -> bool:
        found = cluster.get("deployment", "coredns", "kube-system") or {}
        return bool(found.get("status", {}).get("availableReplicas"))

    wait_for("DNS is ready", available, 180)
