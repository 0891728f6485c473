"""Taints: which of a virtual node's are the tenant's own, and who tolerates them.

That a node takes no new pods (``kubectl cordon``) counts as one more taint, as the scheduler has it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from kube.objects import Metadata, Object
from syncer.kinds.mirror import KEYS_ANNOTATIONS
from vcluster import api

UNSCHEDULABLE = "unschedulable"
"""The word for ``spec.unschedulable`` beside the names of taints, which all have a colon."""
OF_NEW_NODES = "node.kubernetes.io/not-ready:NoSchedule"
"""Every API server gives it to a node that is made: it is never the tenant's."""


KEEP_AWAY = ("NoSchedule", "NoExecute")
"""The effects of taints that keep pods away; PreferNoSchedule is a wish."""


class Taint(NamedTuple):
    """What a pod has to tolerate."""

    key: str
    value: str
    effect: str


CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
"""What a pod has to tolerate to be put on a node that is cordoned."""


class _Taint(msgspec.Struct, frozen=True, gc=False):
    key: str = ""
    value: str = ""
    effect: str = ""


class _NodeSpec(msgspec.Struct, frozen=True, gc=False):
    taints: list[_Taint] | None = None
    unschedulable: bool | None = None


class _NodeStatus(msgspec.Struct, frozen=True, gc=False):
    capacity: dict[str, str] | None = None


class NodeView(msgspec.Struct, gc=False):
    """The part of a virtual node by which a tenant says something to its pods."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


decode_node = msgspec.json.Decoder(NodeView).decode


def taints_of(node: Object) -> tuple[Taint, ...]:
    """The taints of a node."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return tuple(
        Taint(taint.get("key", ""), taint.get("value") or "", taint.get("effect", ""))
        for taint in taints
    )


def own_taints(node: NodeView) -> tuple[Taint, ...]:
    """What the tenant has put on its copy of a node to keep pods away.

    None on a node that it has invented, where no pod runs, and none where the record of what is the
    provider's is missing: before there was one, all was.
    """
    marks = node.metadata.annotations
    if api.UID_ANNOTATION not in marks or KEYS_ANNOTATIONS["taints"] not in marks:
        return ()
    given = marks[KEYS_ANNOTATIONS["taints"]].split()
    found = [Taint(taint.key, taint.value, taint.effect) for taint in node.spec.taints or ()]
    own = [taint for taint in found if f"{taint.key}:{taint.effect}" not in given]
    cordoned = node.spec.unschedulable and UNSCHEDULABLE not in given
    return (*own, CORDON) if cordoned else tuple(own)


def given_by(node: Object) -> str:
    """The record of what the provider's node says: the words by which ``with_own`` knows it later."""
    return " ".join(sorted({OF_NEW_NODES, *_words(node)}))


def with_own(wanted: Object, live: Object) -> Object:
    """The node as it is wanted, with the taints that the tenant has added to the live copy.

    What both have set is shown as the provider has it. Whoever was first keeps it: what the tenant
    had put there before stays when the provider takes its own back.
    """
    marks = live["metadata"].get("annotations") or {}
    given = marks.get(KEYS_ANNOTATIONS["taints"])
    if given is None:
        return wanted
    own = set(_words(live)) - set(given.split())
    if not own:
        return wanted
    of_provider = wanted["metadata"]["annotations"][KEYS_ANNOTATIONS["taints"]].split()
    record = " ".join(word for word in of_provider if word not in own)
    annotations = wanted["metadata"]["annotations"] | {KEYS_ANNOTATIONS["taints"]: record}
    spec = dict(wanted.get("spec") or {})
    if taints := _merged(spec.get("taints") or (), live["spec"].get("taints") or (), own):
        spec["taints"] = taints
    if UNSCHEDULABLE in own:
        spec["unschedulable"] = True
    return wanted | {"metadata": wanted["metadata"] | {"annotations": annotations}, "spec": spec}


def tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    """As ``Toleration.ToleratesTaint`` of k8s.io/api decides.

    The operators Lt and Gt belong to a gate that is off, and tolerate nothing then.
    """
    if toleration.get("effect") and toleration["effect"] != taint.effect:
        return False
    if toleration.get("key") and toleration["key"] != taint.key:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Equal":
        return (toleration.get("value") or "") == taint.value
    return bool(operator == "Exists")


def tolerated(taint: Taint, tolerations: Iterable[Mapping[str, Any]]) -> bool:
    """One of the tolerations is enough."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


def leaves_at(tolerations: Iterable[Mapping[str, Any]], since: Mapping[Taint, float]) -> float:
    """When a pod has to leave a node, by its NoExecute taints and since when each has counted, in seconds.

    Infinity: never. Of each taint the first toleration holds (pkg/controller/tainteviction).
    """
    tolerations = list(tolerations)
    return min((_until(tolerations, *item) for item in since.items()), default=float("inf"))


def _until(tolerations: list[Mapping[str, Any]], taint: Taint, since: float) -> float:
    fitting = next((item for item in tolerations if tolerates(item, taint)), None)
    if fitting is None:
        return since
    seconds = fitting.get("tolerationSeconds")
    return float("inf") if seconds is None else since + max(0, seconds)


def _words(node: Object) -> Iterator[str]:
    """Taints by what tells them apart (key and effect), and whether new pods are taken at all."""
    for taint in taints_of(node):
        yield f"{taint.key}:{taint.effect}"
    if (node.get("spec") or {}).get("unschedulable"):
        yield UNSCHEDULABLE


def _merged(provided: Iterable[Object], live: Iterable[Object], own: Iterable[str]) -> list[Object]:
    """In the order of the live ones: an order of ours would be one more write."""
    by_word = {f"{taint['key']}:{taint['effect']}": taint for taint in provided}
    merged = []
    for taint in live:
        word = f"{taint['key']}:{taint['effect']}"
        if (shown := by_word.pop(word, taint if word in own else None)) is not None:
            merged.append(shown)
    return [*merged, *by_word.values()]
