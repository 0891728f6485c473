"""What a URL path names, and what is known of the kinds behind it."""

from typing import NamedTuple
from urllib.parse import unquote

from kube.objects import Object, ObjectKey
from tests.fakes.storage import Table

_NAMESPACE_SUBRESOURCES = ("status", "finalize")

CLUSTER_SCOPED = frozenset(
    {
        "namespaces",
        "nodes",
        "persistentvolumes",
        "storageclasses",
        "priorityclasses",
        "runtimeclasses",
        "ingressclasses",
        "deviceclasses",
        "resourceslices",
        "volumesnapshotclasses",
        "servicecidrs",
        "clustertrustbundles",
        "clusterroles",
        "clusterrolebindings",
        "customresourcedefinitions",
        "flowschemas",
        "prioritylevelconfigurations",
        "virtualclusterclasses",
        "flavors",  # a custom resource of tests
    }
)
_KINDS = {
    "configmaps": "ConfigMap",
    "customresourcedefinitions": "CustomResourceDefinition",
    "deviceclasses": "DeviceClass",
    "endpointslices": "EndpointSlice",
    "ingressclasses": "IngressClass",
    "ingresses": "Ingress",
    "networkpolicies": "NetworkPolicy",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "persistentvolumes": "PersistentVolume",
    "podcertificaterequests": "PodCertificateRequest",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "priorityclasses": "PriorityClass",
    "resourceclaims": "ResourceClaim",
    "resourceslices": "ResourceSlice",
    "runtimeclasses": "RuntimeClass",
    "serviceaccounts": "ServiceAccount",
    "servicecidrs": "ServiceCIDR",
    "storageclasses": "StorageClass",
    "volumesnapshotclasses": "VolumeSnapshotClass",
    "clustertrustbundles": "ClusterTrustBundle",
    "volumesnapshots": "VolumeSnapshot",
    "virtualclusterclasses": "VirtualClusterClass",
    "virtualclusters": "VirtualCluster",
}
_BUILT_IN_GROUPS = frozenset({"", "apps", "batch", "autoscaling", "policy"})


class Target(NamedTuple):
    """A collection, an object or a subresource."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def table(self) -> Table:
        """Where its objects are stored."""
        return Table(self.group, self.plural)

    @property
    def key(self) -> ObjectKey:
        """The object's key."""
        return ObjectKey(self.namespace, self.name)

    @property
    def api_version(self) -> str:
        """As in an object's ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def built_in(self) -> bool:
        """Not a custom resource. Items of its lists carry no type, as from a real server."""
        return self.group in _BUILT_IN_GROUPS or self.group.endswith(".k8s.io")

    @property
    def kind(self) -> str:
        """The kind's name, by a table or by guessing."""
        return _KINDS.get(self.plural, self.plural.removesuffix("s").capitalize())

    @property
    def full_name(self) -> str:
        """The kind as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def named(self, name: str) -> "Target":
        """An object of this collection."""
        return self._replace(name=name)


def parse_path(raw_path: str) -> Target | None:
    """What the path names; None if it is none of an API server's objects."""
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in _NAMESPACE_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    plural, name, *subresource = [*rest, ""] if len(rest) == 1 else rest
    return Target(group, version, plural, namespace, name, "/".join(subresource))


def listed(target: Target, obj: Object) -> Object:
    """An object as an item of a list."""
    if not target.built_in:
        return obj
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
