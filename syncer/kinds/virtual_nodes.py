"""What a tenant says of its virtual nodes, in what its pods ask of nodes.

The super cluster's scheduler knows neither the labels nor the taints nor the resources that a tenant has
put there. So what a pod requires of such a label becomes a requirement of the nodes that have it at this
moment, by name; it stays away, by name, from the nodes with a taint that it does not tolerate; and it names
the nodes that have enough of such a resource. A tenant may forge all of it: labels stand for nodes that it
sees anyway, and the rest only ever narrows where its pods run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kube.objects import Object
from syncer.kinds.mirror import digest
from syncer.kinds.node_labels import (
    HOSTNAME,
    NONE_OWN,
    NodeLabels,
    in_each_term,
    named_labels,
    own_labels,
)
from syncer.kinds.node_resources import without_resources
from syncer.kinds.node_taints import KEEP_AWAY, NodeView, Taint, own_taints, tolerated
from vcluster import api

DISLIKE = 100
"""The weight of the wish to stay away from a node, the highest: the scheduler, too, makes more of
PreferNoSchedule than of affinity."""
NOWHERE = "no-node-has-enough"
"""A hostname that no node has, as a value of the label can be: there is no room anywhere."""
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class TaintedNode:
    """A virtual node with taints of the tenant's own."""

    hostname: str
    """The provider's; empty if the node has none, and then nobody can be told to avoid it."""
    taints: tuple[Taint, ...]

    @property
    def evicting(self) -> tuple[Taint, ...]:
        """Those that no pod may run under without tolerating them."""
        return tuple(taint for taint in self.taints if taint.effect == "NoExecute")


@dataclass(frozen=True, slots=True)
class VirtualNodes:
    """What a tenant says of its nodes."""

    labels: NodeLabels = NONE_OWN
    tainted: Mapping[str, TaintedNode] = field(default_factory=dict)
    """By the name of the node."""

    def avoided(self, tolerations: list[Object], *effects: str) -> list[str]:
        """The hostnames of the nodes that have a taint of these effects which is not tolerated."""
        return sorted(
            node.hostname
            for node in self.tainted.values()
            if node.hostname
            and any(
                taint.effect in effects and not tolerated(taint, tolerations)
                for taint in node.taints
            )
        )


def tainted_node(node: NodeView) -> TaintedNode | None:
    """None if the tenant has put no taint on it."""
    if not (taints := own_taints(node)):
        return None
    labels = node.metadata.labels
    hostname = "" if HOSTNAME in own_labels(node.metadata) else labels.get(HOSTNAME, "")
    return TaintedNode(hostname, taints)


def by_name(wanted: Object, pod: Object, nodes: VirtualNodes) -> Object:
    """The super pod, which names nodes where its tenant speaks of what only the tenant knows.

    The mark says which they were, so that it is seen when they are others.
    """
    spec = named_labels(wanted["spec"], nodes.labels)
    # Who names a node goes round what keeps others from being scheduled to it, as in any cluster.
    if nodes.tainted and not pod["spec"].get("nodeName"):
        spec = _away(spec, nodes)
    if spec == wanted["spec"]:
        return wanted
    return _marked(wanted, spec, [])


def in_room(wanted: Object, amounts: Mapping[str, int], hostnames: Sequence[str] | None) -> Object:
    """The super pod of one that asks for resources of the tenant's own, which no real node has.

    It may go to the nodes with enough of them; None: wherever it may go anyway.
    """
    spec = without_resources(wanted["spec"], amounts)
    if hostnames is not None:
        named = {"key": HOSTNAME, "operator": "In", "values": list(hostnames) or [NOWHERE]}
        spec = in_each_term(spec, [named])
    return _marked(wanted, spec, sorted(amounts.items()))


def _marked(wanted: Object, spec: Object, amounts: list[tuple[str, int]]) -> Object:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity")
    mark = digest([spec.get("nodeSelector"), affinity, *amounts])
    metadata = wanted["metadata"]
    annotations = metadata["annotations"] | {api.VIRTUAL_NODES_ANNOTATION: mark}
    return wanted | {"metadata": metadata | {"annotations": annotations}, "spec": spec}


def _away(spec: Object, nodes: VirtualNodes) -> Object:
    tolerations = spec.get("tolerations") or []
    if names := nodes.avoided(tolerations, *KEEP_AWAY):
        spec = in_each_term(spec, [_none_of(names)])
    if names := nodes.avoided(tolerations, "PreferNoSchedule"):
        affinity: Object = spec.get("affinity") or {}
        own: Object = affinity.get("nodeAffinity") or {}
        wish = {"weight": DISLIKE, "preference": {"matchExpressions": [_none_of(names)]}}
        preferring = own | {PREFERRED: [*(own.get(PREFERRED) or ()), wish]}
        spec = spec | {"affinity": affinity | {"nodeAffinity": preferring}}
    return spec


def _none_of(names: list[str]) -> Object:
    return {"key": HOSTNAME, "operator": "NotIn", "values": names}
