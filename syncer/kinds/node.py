"""Nodes: a tenant's virtual node shows the real one, but not what others do on it."""

from functools import partial
from typing import Any

from kube.objects import Object
from kube.resources import NODES
from syncer.kinds.mirror import (
    KEYS_ANNOTATIONS,
    Recreate,
    UpwardKind,
    Write,
    body,
    digest,
    is_marked,
    merge_patch,
    metadata_patch,
    tenant_metadata,
)
from syncer.kinds.node_resources import given_resources, with_own_resources
from syncer.kinds.node_taints import given_by, with_own
from vcluster import api
from vcluster.api import Tenant

# They tell what other tenants run on the node. (config: of the node's own kubelet.)
HIDDEN_STATUS = ("config", "images", "volumesAttached", "volumesInUse")
ONCE_SET = ("podCIDR", "podCIDRs", "providerID")


def to_tenant(node: Object, tenant: Tenant, *, agent_port: int) -> Object | None:
    """The virtual node; None if the tenant's selector does not match the node."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in tenant.node_selector.items()):
        return None
    return _shown(node, agent_port)


def patch(live: Object, wanted: Object) -> list[Write]:
    """The writes to the virtual node; labels, annotations, taints and resources of the tenant's own stay."""
    if not is_marked(live):
        return []
    wanted = with_own_resources(with_own(wanted, live), live)
    live_spec, wanted_spec = live.get("spec") or {}, wanted.get("spec") or {}
    for field in ONCE_SET:
        if live_spec.get(field) and live_spec[field] != wanted_spec.get(field):
            raise Recreate(f"spec.{field}")
    change: Object = merge_patch(body(live), body(wanted)) or {}
    if metadata := metadata_patch(live, wanted):
        change["metadata"] = metadata
    if "spec" in change and (version := live["metadata"].get("resourceVersion")):
        # A list of taints is replaced as a whole: not one that the tenant has added to meanwhile.
        change["metadata"] = metadata | {"resourceVersion": version}
    writes = [Write("", change)] if change else []
    if status := merge_patch(live.get("status") or {}, wanted.get("status") or {}):
        writes.append(Write("status", {"status": status}))
    return writes


def node_digest(node: Object, *, agent_port: int) -> str:
    """Of what tenants are shown: heartbeats, pulled images and others' annotations leave it alone."""
    return digest(_shown(node, agent_port))


def is_silent(node: Object) -> bool:
    """Nobody has heard of its kubelet for a while: so the super cluster's node controller says."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "Unknown" for one in conditions)


def _shown(node: Object, agent_port: int) -> Object:
    bare = node["metadata"] | {"annotations": {}}
    metadata = tenant_metadata(node | {"metadata": bare})
    metadata["annotations"][KEYS_ANNOTATIONS["taints"]] = given_by(node)
    metadata["annotations"][KEYS_ANNOTATIONS["resources"]] = given_resources(node)
    shown: Object = {
        "apiVersion": NODES.api_version,
        "kind": NODES.kind,
        "metadata": metadata,
        **body(node),
    }
    status = {
        field: value
        for field, value in (node.get("status") or {}).items()
        if field not in HIDDEN_STATUS
    }
    status |= _node_agent(node, status, agent_port)
    if conditions := status.get("conditions"):
        status["conditions"] = [_without_heartbeat(condition) for condition in conditions]
    return shown | {"status": status}


def _node_agent(node: Object, status: Object, agent_port: int) -> Object:
    """Where tenants' API servers find the node's agent: never the kubelet itself.

    By the provider's annotation, else at the node's own address and ``agent_port``.
    """
    annotations = node["metadata"].get("annotations") or {}
    host, _, port = annotations.get(api.NODE_AGENT_ANNOTATION, "").rpartition(":")
    endpoint = {"Port": int(port) if port.isdecimal() else agent_port}
    endpoints = status.get("daemonEndpoints") or {}
    told: Object = {"daemonEndpoints": endpoints | {"kubeletEndpoint": endpoint}}
    if host:
        own = {"type": api.NODE_AGENT_ADDRESS_TYPE, "address": host.strip("[]")}
        told["addresses"] = [*(status.get("addresses") or ()), own]
    return told


def _without_heartbeat(condition: dict[str, Any]) -> Object:
    """A condition that changes only when it says something else. Its heartbeat may not be empty:
    people and operators read it."""
    if "lastHeartbeatTime" not in condition:
        return condition
    return condition | {"lastHeartbeatTime": condition.get("lastTransitionTime")}


def node_kind(agent_port: int) -> UpwardKind:
    """The kind, where nodes say nothing else; ``agent_port``: where their agents are."""
    return UpwardKind(
        resource=NODES,
        to_tenant=partial(to_tenant, agent_port=agent_port),
        patch=patch,
        digest=partial(node_digest, agent_port=agent_port),
    )
