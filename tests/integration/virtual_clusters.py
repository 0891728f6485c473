"""VirtualClusters in tests: made, awaited, looked at from all sides, deleted."""

from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from kube.resources import NAMESPACES, SECRETS, SERVICE_CIDRS
from tests.integration.super_cluster import SuperCluster
from tests.integration.waiting import eventually
from vcluster import api
from vcluster.api import Object
from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.resources import VIRTUAL_CLUSTERS
from vcluster.supervision import Supervisor


@dataclass(frozen=True)
class TenantUnderTest:
    """One VirtualCluster and all that belongs to it."""

    super_cluster: SuperCluster
    name: str
    namespace: str
    uid: str

    @property
    def key(self) -> str:
        return api.tenant_key(self.name, self.uid)

    @property
    def directory(self) -> Path:
        return self.super_cluster.state.directory / "tenants" / self.key

    def live(self) -> Object | None:
        return self.super_cluster.cluster.get(VIRTUAL_CLUSTERS, self.name, self.namespace)

    def status(self) -> Object:
        status: Object = (self.live() or {}).get("status", {})
        return status

    def condition(self, kind: str) -> Object:
        conditions = self.status().get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def wait_until_ready(self, seconds: float = 300.0) -> None:
        eventually(
            f"{self.key} is Ready", lambda: self.condition("Ready").get("status") == "True", seconds
        )

    def patch(self, change: Object, subresource: str = "") -> None:
        """A JSON merge patch, with the official client. Raises kubernetes' ApiException."""
        path = str(self.super_cluster.kubeconfig("admin"))
        custom = client.CustomObjectsApi(config.new_client_from_config(path))
        write = (
            custom.patch_namespaced_custom_object_status
            if subresource
            else custom.patch_namespaced_custom_object
        )
        write(
            api.GROUP,
            api.VERSION,
            self.namespace,
            api.VIRTUAL_CLUSTER_PLURAL,
            self.name,
            change,
            _content_type="application/merge-patch+json",
        )

    def delete(self) -> None:
        self.super_cluster.cluster.delete(VIRTUAL_CLUSTERS, self.name, self.namespace)

    def wait_until_gone(self, seconds: float = 300.0) -> None:
        eventually(f"VirtualCluster {self.key} is gone", lambda: self.live() is None, seconds)

    def wait_until_nothing_is_left(self) -> None:
        """Counted from all sides. Of a service range, that its end is certain (see below)."""
        self.wait_until_gone()
        eventually(f"nothing is left of {self.key}", lambda: not self.leftovers(), 60)

    def service_ranges(self) -> list[Object]:
        """Its ServiceCIDR objects."""
        selector = f"{api.TENANT_LABEL}={self.key}"
        return self.super_cluster.cluster.list(SERVICE_CIDRS, selector=selector)

    def secret(self, name: str) -> Object | None:
        return self.super_cluster.cluster.get(SECRETS, name, self.key)

    def kubeconfig(self, secret: str) -> dict[str, Any]:
        found = self.secret(secret)
        assert found is not None, f"no Secret {secret}"
        loaded = yaml.safe_load(b64decode(found["data"][api.KUBECONFIG_KEY]))
        assert isinstance(loaded, dict)
        return loaded

    def cluster(self, directory: Path, secret: str = api.ADMIN_KUBECONFIG_SECRET) -> Cluster:
        """The tenant's API server, as the owner of a kubeconfig Secret."""
        path = directory / f"{self.key}-{secret}.kubeconfig"
        path.write_text(yaml.safe_dump(self.kubeconfig(secret)))
        return Cluster.from_kubeconfig(str(path))

    def processes(self) -> dict[str, int]:
        """The pids of its programs, by name."""
        supervisor = Supervisor(self.super_cluster.state.supervisor_directory)
        return {status.name: status.pid for status in supervisor.statuses(self.key)}

    def leftovers(self) -> dict[str, Any]:
        """Whatever is still there of it, by sort; empty when nothing is."""
        cluster, selector = self.super_cluster.cluster, f"{api.TENANT_LABEL}={self.key}"
        found = {
            "object": self.live(),
            "namespaces": cluster.list(NAMESPACES, selector=selector),
            # Kubernetes lets a deleted range live for another ten seconds.
            "service ranges": [
                one for one in self.service_ranges() if "deletionTimestamp" not in one["metadata"]
            ],
            "etcd user": self.key in self.super_cluster.etcd_names("user"),
            "etcd role": self.key in self.super_cluster.etcd_names("role"),
            "etcd keys": self.super_cluster.etcd_keys(f"/{self.key}/"),
            "supervised": self.processes(),
            "processes": processes_with(str(self.directory)),
            "files": self.directory.exists(),
        }
        return {sort: value for sort, value in found.items() if value}


def create(
    super_cluster: SuperCluster, name: str, namespace: str = "tenants", **spec: Any
) -> TenantUnderTest:
    """Create a VirtualCluster (and its namespace). Raises ApiError if it is refused."""
    cluster = super_cluster.cluster
    cluster.apply(
        NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    )
    created = cluster.create(VIRTUAL_CLUSTERS, a_virtual_cluster(name, namespace, **spec))
    return TenantUnderTest(super_cluster, name, namespace, created["metadata"]["uid"])


def a_virtual_cluster(name: str, namespace: str = "tenants", **spec: Any) -> Object:
    return {
        "apiVersion": api.API_VERSION,
        "kind": VIRTUAL_CLUSTERS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def processes_with(text: str) -> list[int]:
    """The pids of processes whose command line names ``text``."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and text.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found
