"""What one tenant says of its nodes, as its copies of them change."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kube.objects import Metadata, Object, ObjectKey
from syncer.entries import Entry
from syncer.kinds.node_labels import NONE_OWN, NodeLabels, asks_of_nodes, node_labels, own_labels
from syncer.kinds.node_taints import NodeView, Taint, decode_node
from syncer.kinds.virtual_nodes import TaintedNode, VirtualNodes, tainted_node
from vcluster.api import Tenant


class News(NamedTuple):
    """What a tenant has said since it was asked last."""

    labels: bool
    """Labels, which concern pods that ask for some."""
    taints: bool
    """Taints, which concern every pod that has no node yet."""
    evicting: frozenset[str]
    """The nodes on which pods may have to leave, or need not any longer."""


class Leave(NamedTuple):
    """When a pod has to leave its node because of taints of the tenant's own."""

    uid: str
    mutable: int
    taints: tuple[Taint, ...]
    """What the pod and its node said when that was decided."""
    since: dict[Taint, float]
    """When each taint was first seen with the pod, in monotonic seconds."""
    due: float
    """In monotonic seconds; infinity: it tolerates them for ever."""


class OwnNodes:
    """Taints are kept, since every pod asks for them; labels are put together when a pod does."""

    def __init__(self, tenant: Tenant, copies: Callable[[], Iterable[Entry]]) -> None:
        self._tenant = tenant
        self._copies = copies
        self._labels: NodeLabels | None = None
        self._tainted: dict[str, TaintedNode] = {}
        self._news = News(labels=False, taints=False, evicting=frozenset())
        self.leaving: dict[ObjectKey, Leave] = {}
        """The pods on nodes with NoExecute taints, as far as they have been looked at."""

    def changed(self, name: str, before: Entry | None, after: Entry | None) -> bool:
        """A copy of a node is another; True: the tenant may have said something by that."""
        had, has = _view(before), _view(after)
        labels = self._relabelled(had.metadata, has.metadata)
        old, new = self._tainted.pop(name, None), tainted_node(has)
        if new is not None:
            self._tainted[name] = new
        evicting = (old.evicting if old else ()) != (new.evicting if new else ())
        self._news = News(
            labels=self._news.labels or labels,
            taints=self._news.taints or old != new,
            evicting=self._news.evicting | ({name} if evicting else frozenset()),
        )
        return labels or old != new

    def _relabelled(self, had: Metadata, has: Metadata) -> bool:
        if had.labels == has.labels and had.annotations == has.annotations:
            return False
        known, self._labels = self._labels, None
        return bool(known and known.own) or own_labels(had) != own_labels(has)

    def news(self) -> News:
        """What has been said since the last call."""
        news, self._news = self._news, News(labels=False, taints=False, evicting=frozenset())
        return news

    def of(self, spec: Object) -> VirtualNodes:
        """What concerns a pod of this spec."""
        if not asks_of_nodes(spec):
            return VirtualNodes(NONE_OWN, self._tainted)
        if self._labels is None:
            nodes = (_view(copy).metadata for copy in self._copies())
            self._labels = node_labels(nodes, self._tenant)
        return VirtualNodes(self._labels, self._tainted)

    def tainted(self, node: str) -> bool:
        """The tenant keeps pods away from the node."""
        return node in self._tainted

    def evicting(self, node: str) -> tuple[Taint, ...]:
        """The tenant's own taints that pods on the node have to tolerate in order to stay."""
        found = self._tainted.get(node)
        return found.evicting if found is not None else ()


def _view(node: Entry | None) -> NodeView:
    return decode_node(node.raw) if node is not None else NodeView()
