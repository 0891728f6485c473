"""Labels that a tenant gives its virtual nodes: what a pod requires of one becomes names of nodes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kube.objects import Metadata, Object
from syncer.kinds.mirror import KEYS_ANNOTATIONS
from vcluster import api
from vcluster.api import Tenant

HOSTNAME = "kubernetes.io/hostname"
"""The provider's name of a node. It may be asked for with many values at once; a node's own name may not."""
POSITIVE = ("In", "Exists", "Gt", "Lt")
NEGATIVE = ("NotIn", "DoesNotExist")


@dataclass(frozen=True, slots=True)
class NodeLabels:
    """The labels of the nodes as a tenant sees them."""

    own: frozenset[str] = frozenset()
    """The keys that the tenant itself has given to a node."""
    nodes: tuple[Mapping[str, str], ...] = ()
    """All labels of each node that has a name of the provider's; none if ``own`` is empty."""

    def named(self, requirement: Object) -> list[Object]:
        """What the super cluster is asked instead of a requirement of a node's label."""
        key, operator = requirement["key"], requirement["operator"]
        if key not in self.own or operator not in (*POSITIVE, *NEGATIVE):
            return [requirement]
        fits = operator in POSITIVE
        names = {node[HOSTNAME] for node in self.nodes if _meets(requirement, node) is fits}
        if not names:
            # A label that no node has, here as there: the scheduler says so in its own words.
            return [requirement]
        by_name = {"key": HOSTNAME, "operator": "In" if fits else "NotIn", "values": sorted(names)}
        return [by_name] if fits else [requirement, by_name]


NONE_OWN = NodeLabels()


def node_labels(nodes: Iterable[Metadata], tenant: Tenant) -> NodeLabels:
    """Of a tenant's nodes. Those that the tenant has invented count for nothing: no pod runs there.

    A tenant may forge all of it. So what its pods are confined by is never taken for its own.
    """
    shown = [node for node in nodes if api.UID_ANNOTATION in node.annotations]
    keys = (key for node in shown for key in own_labels(node))
    own = frozenset(keys).difference(tenant.node_selector)
    if not own:
        return NONE_OWN
    named = [node.labels for node in shown if HOSTNAME in node.labels.keys() - own_labels(node)]
    return NodeLabels(own, tuple(named))


def own_labels(node: Metadata) -> Mapping[str, str]:
    """The labels that the tenant has given to its copy of a node."""
    given = node.annotations.get(KEYS_ANNOTATIONS["labels"], "").split()
    return {key: value for key, value in node.labels.items() if key not in given}


def named_labels(spec: Object, labels: NodeLabels) -> Object:
    """The pod's spec, which asks for names where it asked for labels that only the tenant knows."""
    if not labels.own or not asks_of_nodes(spec):
        return spec
    return _named_selector(_named_affinity(spec, labels), labels)


def asks_of_nodes(spec: Object) -> bool:
    """Where the pod may run depends on nodes' labels."""
    return bool(spec.get("nodeSelector") or (spec.get("affinity") or {}).get("nodeAffinity"))


def _named_affinity(spec: Object, labels: NodeLabels) -> Object:
    affinity: Object = spec.get("affinity") or {}
    nodes: Object = dict(affinity.get("nodeAffinity") or {})
    if required := nodes.get("requiredDuringSchedulingIgnoredDuringExecution"):
        terms = [_named_term(term, labels) for term in required.get("nodeSelectorTerms") or ()]
        required = required | {"nodeSelectorTerms": terms}
        nodes["requiredDuringSchedulingIgnoredDuringExecution"] = required
    if preferred := nodes.get("preferredDuringSchedulingIgnoredDuringExecution"):
        nodes["preferredDuringSchedulingIgnoredDuringExecution"] = [
            item | {"preference": _named_term(item["preference"], labels)} for item in preferred
        ]
    return spec | {"affinity": affinity | {"nodeAffinity": nodes}} if nodes else spec


def _named_term(term: Object, labels: NodeLabels) -> Object:
    if not (requirements := term.get("matchExpressions")):
        return term
    named = [each for requirement in requirements for each in labels.named(requirement)]
    return term | {"matchExpressions": named}


def _named_selector(spec: Object, labels: NodeLabels) -> Object:
    kept, named = {}, []
    for key, value in (spec.get("nodeSelector") or {}).items():
        requirement = {"key": key, "operator": "In", "values": [value]}
        if (instead := labels.named(requirement)) == [requirement]:
            kept[key] = value
        else:
            named += instead
    if not named:
        return spec
    changed = in_each_term(spec, named)
    del changed["nodeSelector"]
    return changed | ({"nodeSelector": kept} if kept else {})


def in_each_term(spec: Object, requirements: list[Object]) -> Object:
    """The pod's spec with these as requirements too: added to each alternative that there is."""
    affinity: Object = spec.get("affinity") or {}
    nodes: Object = affinity.get("nodeAffinity") or {}
    required: Object = nodes.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = [_and(term, requirements) for term in required.get("nodeSelectorTerms") or ()]
    required = required | {"nodeSelectorTerms": terms or [{"matchExpressions": requirements}]}
    nodes = nodes | {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return spec | {"affinity": affinity | {"nodeAffinity": nodes}}


def _and(term: Object, more: list[Object]) -> Object:
    """An empty term means no node, and goes on to do so."""
    if not (term.get("matchExpressions") or term.get("matchFields")):
        return term
    return term | {"matchExpressions": [*(term.get("matchExpressions") or ()), *more]}


def _meets(requirement: Object, labels: Mapping[str, str]) -> bool:
    """As the scheduler decides it (k8s.io/apimachinery, labels.Requirement)."""
    operator, value = requirement["operator"], labels.get(requirement["key"])
    values: list[str] = requirement.get("values") or []
    if operator in NEGATIVE:
        return value is None or (operator == "NotIn" and value not in values)
    if value is None or operator == "Exists":
        return value is not None
    return value in values if operator == "In" else _compares(operator, value, values)


def _compares(operator: str, value: str, values: list[str]) -> bool:
    try:
        have, limit = int(value), int(values[0])
    except (ValueError, IndexError):
        return False
    return have > limit if operator == "Gt" else have < limit
