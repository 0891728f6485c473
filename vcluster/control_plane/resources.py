"""The kinds that the operator itself creates or reads, beyond those that are mirrored."""

from kube.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    NAMESPACES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICE_CIDRS,
    SERVICES,
    Resource,
)
from vcluster import api

VIRTUAL_CLUSTERS = Resource(api.GROUP, api.VERSION, api.VIRTUAL_CLUSTER_PLURAL, "VirtualCluster")
VIRTUAL_CLUSTER_CLASSES = Resource(
    api.GROUP,
    api.VERSION,
    api.VIRTUAL_CLUSTER_CLASS_PLURAL,
    "VirtualClusterClass",
    namespaced=False,
)

_RBAC = "rbac.authorization.k8s.io"
_FLOW_CONTROL = "flowcontrol.apiserver.k8s.io"
CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    _RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
FLOW_SCHEMAS = Resource(_FLOW_CONTROL, "v1", "flowschemas", "FlowSchema", namespaced=False)
PRIORITY_LEVELS = Resource(
    _FLOW_CONTROL,
    "v1",
    "prioritylevelconfigurations",
    "PriorityLevelConfiguration",
    namespaced=False,
)
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
_ADMISSION = "admissionregistration.k8s.io"
ADMISSION_POLICIES = Resource(
    _ADMISSION,
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    namespaced=False,
)
ADMISSION_POLICY_BINDINGS = Resource(
    _ADMISSION,
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)

APPLIED = {
    (resource.api_version, resource.kind): resource
    for resource in (
        CONFIG_MAPS,
        NAMESPACES,
        SECRETS,
        CONFIG_MAPS,
        SERVICES,
        SERVICE_ACCOUNTS,
        SERVICE_CIDRS,
        DEPLOYMENTS,
        CLUSTER_ROLES,
        CLUSTER_ROLE_BINDINGS,
        FLOW_SCHEMAS,
        PRIORITY_LEVELS,
        ADMISSION_POLICIES,
        ADMISSION_POLICY_BINDINGS,
        ENDPOINTS,
        ENDPOINT_SLICES,
    )
}
"""What a template may create, by ``apiVersion`` and ``kind``."""
