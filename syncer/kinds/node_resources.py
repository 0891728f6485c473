"""Extended resources: which of a virtual node's are the tenant's own, and pods without them. Pure.

Whoever may write a node's status can say that it has a resource which nobody else knows of (Kubernetes:
"Advertise Extended Resources for a Node"). On a virtual node that is the tenant; the real node never
hears of it.
"""

from collections.abc import Container, Iterable
from itertools import islice

from kube.objects import Object
from kube.quantities import nanos
from syncer.kinds.mirror import KEYS_ANNOTATIONS
from syncer.kinds.node_taints import NodeView
from vcluster import api

_OF_KUBERNETES = "kubernetes.io"
RESOURCES = "resources"
MOST_OWN = 32
"""Of a tenant's own on one node; what it adds beyond them is undone."""


def may_be_own(name: str) -> bool:
    """A resource that Kubernetes itself, and this system, know nothing of."""
    domain, slash, _ = name.rpartition("/")
    reserved = domain == _OF_KUBERNETES or domain.endswith(f".{_OF_KUBERNETES}")
    return bool(slash) and not reserved and not name.startswith(api.PREFIX)


def given_resources(node: Object) -> str:
    """The record of what the provider's node has: the names by which ``with_own_resources`` knows it."""
    status = node.get("status") or {}
    names = {name for field in _AMOUNTS for name in status.get(field) or ()}
    return " ".join(sorted(filter(may_be_own, names)))


def given_names(node: NodeView) -> frozenset[str]:
    """The extended resources of a virtual node that are the provider's."""
    return frozenset(node.metadata.annotations.get(KEYS_ANNOTATIONS[RESOURCES], "").split())


def own_resources(node: NodeView) -> dict[str, int]:
    """What the tenant says that the node has besides, in nanos.

    None on a node that it has invented, where no pod runs, and none where the record of what is the
    provider's is missing: before there was one, all was.
    """
    marks = node.metadata.annotations
    if api.UID_ANNOTATION not in marks or KEYS_ANNOTATIONS[RESOURCES] not in marks:
        return {}
    capacity = node.status.capacity or {}
    own = _own(capacity, given_names(node))
    return {name: nanos(capacity[name]) for name in own}


def with_own_resources(wanted: Object, live: Object) -> Object:
    """The node as it is wanted, with the resources that the tenant has given to the live copy.

    What the provider's node has too is shown as it has it. All of a capacity is allocatable, as kubelets
    do it for resources that no device plug-in speaks of.
    """
    given = (live["metadata"].get("annotations") or {}).get(KEYS_ANNOTATIONS[RESOURCES])
    if given is None:
        return wanted
    status = wanted.get("status") or {}
    capacity = (live.get("status") or {}).get("capacity") or {}
    own = {name: capacity[name] for name in _own(capacity, given.split())}
    if not own:
        return wanted
    shown = {field: own | (status.get(field) or {}) for field in _AMOUNTS}
    return wanted | {"status": status | shown}


def without_resources(spec: Object, names: Container[str]) -> Object:
    """A pod's spec whose containers do not ask for these resources."""
    changed = {
        kind: [_without(container, names) for container in spec[kind]]
        for kind in ("initContainers", "containers")
        if spec.get(kind)
    }
    return spec | changed


def _without(container: Object, names: Container[str]) -> Object:
    resources = container.get("resources") or {}
    fewer = {
        field: {name: amount for name, amount in amounts.items() if name not in names}
        for field in ("requests", "limits")
        if (amounts := resources.get(field))
    }
    return container | {"resources": resources | fewer} if fewer else container


def _own(names: Iterable[str], given: Container[str]) -> list[str]:
    own = (name for name in names if may_be_own(name) and name not in given)
    return list(islice(own, MOST_OWN))


_AMOUNTS = ("capacity", "allocatable")
