"""Everything of a tenant goes: programs, super namespaces, datastore, service range, files."""

from kube.resources import NAMESPACES, PODS
from vcluster import api
from vcluster.api import Object
from vcluster.control_plane import service_range
from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.reconcile import Provider

LONGEST_GRACE = 30
"""Seconds that a pod may take to end when its tenant goes, whatever its own spec says."""


def teardown(provider: Provider, name: str, uid: str) -> list[str]:
    """Remove what can be removed now; what is not gone yet, for people. Empty: nothing is left.

    To be called again until then. Raises DatastoreError, SupervisionError, ApiError, Unreachable.
    """
    key = api.tenant_key(name, uid)
    # What the super cluster does by itself takes longest, so it begins first. A range that is being
    # deleted gives no more addresses, and goes for certain once no Service has one: no need to wait
    # for that, nor for the ten seconds of grace that Kubernetes adds.
    if _namespaces(provider.cluster, key, uid):
        _hurry_pods(provider.cluster, key)
    service_range.remove(provider.cluster, key)
    provider.shares.forget(key)
    provider.provisioner.remove(key)
    provider.datastore.remove(key)
    return [f"namespace {left}" for left in _namespaces(provider.cluster, key, uid)]


def _namespaces(cluster: Cluster, key: str, uid: str) -> list[str]:
    selector = f"{api.TENANT_LABEL}={key}"
    for found in cluster.list(NAMESPACES, selector=selector):
        metadata = found["metadata"]
        if _is_own(found, uid) and "deletionTimestamp" not in metadata:
            cluster.delete(NAMESPACES, metadata["name"], uid=metadata["uid"])
    return [
        found["metadata"]["name"]
        for found in cluster.list(NAMESPACES, selector=selector)
        if _is_own(found, uid)
    ]


def _hurry_pods(cluster: Cluster, key: str) -> None:
    """A tenant's pods could ask for years to end in, on devices that others wait for."""
    for pod in cluster.list(PODS, selector=f"{api.TENANT_LABEL}={key}"):
        metadata = pod["metadata"]
        if metadata.get("deletionGracePeriodSeconds", 0) > LONGEST_GRACE:
            name, namespace = metadata["name"], metadata["namespace"]
            cluster.delete(PODS, name, namespace, metadata["uid"], LONGEST_GRACE)


def _is_own(namespace: Object, uid: str) -> bool:
    """A root namespace names its owner; a mirror has only the label, which no other tenant gets."""
    annotations = namespace["metadata"].get("annotations") or {}
    return bool(annotations.get(api.OWNER_UID_ANNOTATION, uid) == uid)
