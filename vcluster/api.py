"""The contract between provider, operator, syncer and CLI: names, marks, and the tenant as a value.

Nothing here does I/O, and everything that two programs must agree on is here. The words are those
of the glossary in docs/architecture.md.
"""

import functools
import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import msgspec

from vcluster.sync import Sync

GROUP = "virtualcluster.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
VIRTUAL_CLUSTER_PLURAL = "virtualclusters"
VIRTUAL_CLUSTER_CLASS_PLURAL = "virtualclusterclasses"
DEFAULT_CLASS = "standard"

KUBERNETES_VERSION = "v1.37.2"
MAX_NAME_LENGTH = 63  # a namespace's name and a label's value (RFC 1123 label)
BUCKETS = 64

PREFIX = f"{GROUP}/"
"""Everything of ours in labels and annotations lives under this one prefix."""

TENANT_LABEL = f"{PREFIX}tenant"
BUCKET_LABEL = f"{PREFIX}bucket"
NAMESPACE_LABEL = f"{PREFIX}namespace"
"""On super namespaces: the tenant's name of the namespace, for selectors by metadata.name."""
COMPONENT_LABEL = f"{PREFIX}component"
"""On objects of a root namespace: which component of the control plane they belong to."""
PUBLIC_LABEL = f"{PREFIX}public"
"""The provider puts ``true`` on classes (storage, priority, runtime) that tenants may see and use."""
TENANT_PRIORITY_CLASS = "virtualcluster-tenant"
"""The super cluster's PriorityClass of all super pods that name no public one."""
SAID_OF_TENANT_PRIORITY_CLASS = " preemption: not eligible due to preemptionPolicy=Never."
"""The scheduler's words about it, which a tenant would take for its own class's: they are left out."""
NOT_OFFERED_RUNTIME_CLASS = "virtualcluster-not-offered"
"""The super cluster's RuntimeClass of super pods whose tenant asks for a handler that is not offered."""
NOT_OFFERED_HANDLER = NOT_OFFERED_RUNTIME_CLASS
"""Its handler, which no node has: the kubelet says so, and the tenant reads its own handler's name there."""

NAMESPACE_ANNOTATION = f"{PREFIX}namespace"
NAME_ANNOTATION = f"{PREFIX}name"
UID_ANNOTATION = f"{PREFIX}uid"
DIGEST_ANNOTATION = f"{PREFIX}digest"
GENERATION_ANNOTATION = f"{PREFIX}generation"
"""On super pods: the generation of the tenant pod that the mirror shows."""
SERVICE_ACCOUNT_ANNOTATION = f"{PREFIX}service-account"
"""On super pods: the tenant's name of the service account, for the downward API."""
SHOWN_LABELS_ANNOTATION = f"{PREFIX}shown-labels"
SHOWN_ANNOTATIONS_ANNOTATION = f"{PREFIX}shown-annotations"
"""On super pods with a downward API volume of them: the tenant's labels and annotations as one text."""
SCHEDULING_GATES_ANNOTATION = f"{PREFIX}scheduling-gates"
"""On super pods: which scheduling gates came from the tenant; others belong to the super cluster."""
VIRTUAL_NODES_ANNOTATION = f"{PREFIX}virtual-nodes"
"""On super pods that name nodes because of labels and taints of the tenant's own: a digest of that."""
NODE_NAME_ANNOTATION = f"{PREFIX}node-name"
"""On super pods that were made for the node that the tenant's pod names: that node."""
HANDLER_ANNOTATION = f"{PREFIX}runtime-handler"
"""On super pods of NOT_OFFERED_RUNTIME_CLASS: the handler that the tenant's own class has."""
GANG_MARK_ANNOTATION = f"{PREFIX}gang-id"
"""On super pods: the gang that the tenant's pod belongs to, and its size."""
DEVICES_ANNOTATION = f"{PREFIX}devices"
"""On super pods: the extended resources that the pod asks for, white-space separated."""
DEVICES_LABEL = f"{PREFIX}wants-devices"
"""On super pods beside it: by this the syncers find the device pods of each other's tenants."""
GANG_ANNOTATION = f"{PREFIX}gang"
"""A tenant puts it on pods that go down together: any name."""
GANG_SIZE_ANNOTATION = f"{PREFIX}gang-size"
"""Beside GANG_ANNOTATION: how many pods the gang takes to begin."""
TENANT_KEYS = frozenset({GANG_ANNOTATION, GANG_SIZE_ANNOTATION})
"""The keys under our prefix that a tenant may use."""
EXPIRES_ANNOTATION = f"{PREFIX}expires"
"""On super token Secrets: when the token must be renewed (RFC 3339)."""
NODE_AGENT_ANNOTATION = f"{PREFIX}node-agent"
"""On super nodes whose agent is not at the node's own address and the usual port: ``host:port``."""
OWNER_NAMESPACE_ANNOTATION = f"{PREFIX}virtualcluster-namespace"
OWNER_NAME_ANNOTATION = f"{PREFIX}virtualcluster-name"
OWNER_UID_ANNOTATION = f"{PREFIX}virtualcluster-uid"
"""On a root namespace: the VirtualCluster that it belongs to."""

# Secrets of a root namespace. The kubeconfig Secrets keep the file under the key KUBECONFIG_KEY.
KUBECONFIG_KEY = "kubeconfig"
ADMIN_KUBECONFIG_SECRET = "admin-kubeconfig"
EMERGENCY_KUBECONFIG_SECRET = "emergency-kubeconfig"
CONTROLLER_MANAGER_KUBECONFIG_SECRET = "controller-manager-kubeconfig"
SYNCER_KUBECONFIG_SECRET = "syncer-kubeconfig"

# Identities in a tenant's API server.
ADMIN_USER, ADMIN_GROUP = "virtualcluster:admin", "virtualcluster:admins"
SYNCER_USER, SYNCER_GROUP = "virtualcluster:syncer", "virtualcluster:syncers"
CONTROLLER_MANAGER_USER = "system:kube-controller-manager"
KUBELET_CLIENT_USER = "kube-apiserver-kubelet-client"

MANAGED_BY_LABEL, MANAGED_BY = "app.kubernetes.io/managed-by", "virtualcluster"
"""On what the operator installs into a tenant as an ordinary workload, and may remove again."""

DNS_INDEX = 10
"""Which address of its service range a tenant's DNS has: the tenth, by custom."""
DNS_IMAGE = "coredns/coredns:1.15.0"

CONTROL_PLANE_TAINTS = (
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
)
"""The taints of nodes that run the super cluster itself."""

WITHHELD_ANNOTATIONS = (
    "cni.projectcalico.org/*",
    "external-dns.alpha.kubernetes.io/*",
    "iam.amazonaws.com/*",
    "io.cilium/*",
    "k8s.v1.cni.cncf.io/*",
    "kube-vip.io/*",
    "lbipam.cilium.io/*",
    "metallb.io/*",
    "metallb.universe.tf/*",
)
"""By these an object asks for what all tenants share: addresses, networks, names in DNS, roles in a cloud."""
WITHHELD_DOMAIN = f"withheld.{GROUP}"
"""In it are annotations that mean nothing below, on mirrors."""

REFUSED_CONDITION = f"{PREFIX}Refused"
"""On a tenant's pod that may not run in the super cluster: why."""

# What a node agent is told of a tenant: the ConfigMap of the root namespace with the authorities that
# sign the tenant's client certificates, PEM. Public, so that no agent needs to read a Secret.
CLIENT_CA_CONFIG_MAP = "virtualcluster-client-ca"
CLIENT_CA_KEY = "ca.crt"
CLIENT_CA_COMPONENT = "client-ca"
TOKEN_KEY_KEY = "service-account.pub"
"""In the same ConfigMap: the public key, PEM, that verifies the tenant's tokens."""
API_SERVER_KEY = "api-server"
"""In the same ConfigMap: the URL of the tenant's API server, as nodes and pods reach it."""

NODE_AGENT_PORT = 10550
"""Where a node's agent is, if nothing else is said."""
KUBELET_PORT = 10250
"""Where clients that do not ask a node for its port look for its kubelet."""
NODE_AGENT_ADDRESS_TYPE = "NodeAgent"
"""Among a virtual node's addresses: where its agent is, if not at the node's own."""

EGRESS_SOCKET = "egress.sock"
"""In the folder of a tenant's API server: where the egress proxy listens for it."""

DATASTORE_OBJECTS, DATASTORE_SIZE, DATASTORE_HISTORY = 100_000, "512Mi", "256Mi"
"""How much of the shared datastore a tenant may fill, and write within the time that history is kept,
if its class does not say."""

QUOTA_CONFIG_MAP = "virtualcluster-quota"
"""In a tenant's ``kube-system``: what it uses of its quota. Written by the syncer."""
STORAGE_CLASS_QUOTA_SUFFIX = ".storageclass.storage.k8s.io/"
"""In a key of a quota: between a storage class and what is limited of it."""

DEVICE_CLASS_QUOTA_SUFFIX = ".deviceclass.resource.k8s.io/devices"
"""In a key of a quota: behind a device class."""
DEVICE_CLASS_RESOURCE_PREFIX = "deviceclass.resource.kubernetes.io/"
"""Before the name of a device class: a resource that every class has (Kubernetes 1.36)."""

ROOT_CA_CONFIG_MAP = "kube-root-ca.crt"
MIRRORED_ROOT_CA_CONFIG_MAP = "virtualcluster-root-ca.crt"
"""The tenant's ``kube-root-ca.crt`` in its super namespace: the super cluster publishes its own."""

Object = dict[str, Any]


class Phase(StrEnum):
    """Where a tenant stands, in one word, for people; programs read the conditions."""

    PENDING = "Pending"
    PROVISIONING = "Provisioning"
    READY = "Ready"
    DEGRADED = "Degraded"
    FAILED = "Failed"
    DELETING = "Deleting"


class Condition(StrEnum):
    """The condition types of a VirtualCluster's status."""

    READY = "Ready"
    SPEC_VALID = "SpecValid"
    DATASTORE_READY = "DatastoreReady"
    CONTROL_PLANE_READY = "ControlPlaneReady"
    BOOTSTRAPPED = "Bootstrapped"
    DNS_INSTALLED = "DNSInstalled"
    DATASTORE_HAS_ROOM = "DatastoreHasRoom"
    SYNCING = "Syncing"
    """Written by the syncer: its session with this tenant runs."""


class ResourceRule(msgspec.Struct, frozen=True, rename="camel"):
    """What containers must say of their requests or limits, by the names of resources."""

    required: tuple[str, ...] = ()
    defaults: Mapping[str, str] = {}
    """Given to containers that say nothing."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a tenant's pods may do, as in ``status.effective.policy``; the defaults are safe."""

    pod_security: str = "baseline"
    """The Pod Security Standard: privileged, baseline or restricted."""
    registries: tuple[str, ...] = ()
    """Where images may come from: a registry, or a path in one; empty: from anywhere."""
    denied_taints: tuple[str, ...] = CONTROL_PLANE_TAINTS
    """The keys of taints that no pod may tolerate."""
    volume_types: tuple[str, ...] = ()
    """Volumes of storage that a pod may name by itself, without a claim: nfs, csi and the like."""
    withheld_annotations: tuple[str, ...] = WITHHELD_ANNOTATIONS
    """Annotations that the super cluster's controllers do not get to see: whole keys, or ``prefix/*``."""
    requests: ResourceRule = ResourceRule()
    limits: ResourceRule = ResourceRule()
    active_deadline_seconds: int | None = None
    """How long a pod may run at most, and does if it does not say how long."""


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """What the syncer must know of a tenant to translate its objects."""

    key: str
    name: str
    namespace: str
    uid: str
    service_cidr: str = ""
    api_server_port: int = 0
    """0 while it is not known."""
    weight: int = 1
    nodes_mode: str = "all"
    node_selector: Mapping[str, str] = {}
    runtime_class: str = ""
    """All pods run with this RuntimeClass; empty: with the one that they name."""
    policy: Policy = Policy()
    quota: Mapping[str, str] = {}
    """What all its super namespaces may hold together, by the keys of ResourceQuota."""
    sync: Sync = Sync()

    @property
    def bucket(self) -> str:
        """The bucket of this tenant, as a label's value."""
        return bucket(self.key)

    @property
    def kubernetes_address(self) -> str:
        """The address of ``default/kubernetes``: the first of the range, as in any cluster."""
        return service_address(self.service_cidr, 1)

    @property
    def dns_address(self) -> str:
        """The address reserved for ``kube-system/kube-dns``."""
        return service_address(self.service_cidr, DNS_INDEX)

    @classmethod
    def from_object(cls, virtual_cluster: Mapping[str, Any]) -> "Tenant":
        """The tenant that a VirtualCluster object with a filled status describes.

        Raises KeyError while the operator has not given it a key and a service range,
        msgspec.ValidationError for a policy or options that are none.
        """
        metadata, status = virtual_cluster["metadata"], virtual_cluster["status"]
        spec = virtual_cluster.get("spec", {})
        effective = status.get("effective", {})
        nodes = effective.get("nodes") or spec.get("nodes", {})
        policy = effective.get("policy") or spec.get("policy", {})
        sync = effective.get("sync") or {}
        scheduling = effective.get("scheduling") or spec.get("scheduling", {})
        quota = effective.get("quota") or spec.get("quota", {})
        return cls(
            key=status["tenantKey"],
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            service_cidr=status["serviceCIDR"],
            api_server_port=urlsplit(status.get("endpoint", "")).port or 0,
            weight=scheduling.get("weight", 1),
            nodes_mode=nodes.get("mode", "all"),
            node_selector=nodes.get("selector", {}),
            runtime_class=scheduling.get("runtimeClassName", ""),
            policy=msgspec.convert(policy, Policy),
            quota={key: str(value) for key, value in (quota.get("hard") or {}).items()},
            sync=msgspec.convert(sync, Sync),
        )


def now() -> str:
    """The time, as Kubernetes writes it (RFC 3339, seconds)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tenant_key(name: str, uid: str) -> str:
    """The tenant's unique short name in the super cluster, for example ``team-a-1f3a9c2e``.

    It is also the name of the root namespace, the etcd user and the etcd prefix. A name is at most
    40 characters long (the CRD says so), so a key has at most 49.
    """
    return f"{name}-{sha256(uid.encode()).hexdigest()[:8]}"


@functools.cache
def bucket(key: str) -> str:
    """One of the 64 parts that the tenants are spread over, for the syncers' watches."""
    return str(int.from_bytes(sha256(key.encode()).digest()[:4]) % BUCKETS)


@functools.lru_cache(maxsize=65536)
def super_namespace(key: str, namespace: str) -> str:
    """The super namespace that mirrors ``namespace`` of the tenant ``key``.

    Never parsed back: who needs the tenant's name of it reads the annotations.
    """
    full = f"{key}-{namespace}"
    if len(full) <= MAX_NAME_LENGTH:
        return full
    digest = sha256(f"{key}/{namespace}".encode()).hexdigest()[:12]
    return f"{full[: MAX_NAME_LENGTH - len(digest) - 1]}-{digest}"


@functools.cache
def service_address(cidr: str, index: int) -> str:
    """The address number ``index`` of a service range; index 0 is the network's own address."""
    return str(ipaddress.ip_network(cidr)[index])
