"""What one tenant says of its nodes, as its copies of them change."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from kube.objects import Metadata, Object, ObjectKey, decode_object
from kube.quantities import quantity
from syncer.admission.nodes import NodeRoom, choice, node_room, placement
from syncer.admission.own_room import UNKNOWN, Hold, OwnRoom
from syncer.admission.pod_usage import requested
from syncer.entries import Entry
from syncer.kinds.mirror import Refused
from syncer.kinds.node_labels import (
    HOSTNAME,
    NONE_OWN,
    NodeLabels,
    asks_of_nodes,
    node_labels,
    own_labels,
)
from syncer.kinds.node_resources import given_names, own_resources
from syncer.kinds.node_taints import NodeView, Taint, decode_node
from syncer.kinds.virtual_nodes import (
    TaintedNode,
    VirtualNodes,
    by_name,
    in_room,
    tainted_node,
)
from vcluster.api import Tenant

MOST_COMPARED = 2_000_000
"""Bytes of a pod's placement times nodes with resources of the tenant's own: some milliseconds."""


class News(NamedTuple):
    """What a tenant has said since it was asked last."""

    labels: bool
    """Labels, which concern pods that ask for some."""
    all_waiting: bool
    """Taints and resources, which concern every pod that has no node yet."""
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
    """Taints are kept, since every pod asks for them; labels are put together when a pod does.

    ``copies``: the virtual nodes; ``real``: the super cluster's node of a name.
    """

    def __init__(
        self,
        tenant: Tenant,
        copies: Callable[[], Iterable[Entry]],
        real: Callable[[str], Entry | None],
    ) -> None:
        self._tenant = tenant
        self._copies = copies
        self._real = real
        self._rooms: dict[str, tuple[Entry, NodeRoom | None]] = {}
        self._labels: NodeLabels | None = None
        self._tainted: dict[str, TaintedNode] = {}
        self._resources: frozenset[str] | None = frozenset()
        self._news = _NO_NEWS
        self.room = OwnRoom()
        """The resources of the tenant's own, and the pods that ask for some."""
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
        resources = self._has_other_resources(name, had, has)
        all_waiting = old != new or resources
        self._news = News(
            labels=self._news.labels or labels,
            all_waiting=self._news.all_waiting or all_waiting,
            evicting=self._news.evicting | ({name} if evicting else frozenset()),
        )
        return labels or all_waiting

    def _has_other_resources(self, name: str, had: NodeView, has: NodeView) -> bool:
        before, after = self.room.capacity(name), own_resources(has)
        if before != after or given_names(had) != given_names(has):
            self.room.has(name, after)
            self._resources = None
        elif had.spec == has.spec and had.metadata.labels == has.metadata.labels:
            return False  # else it may suit others than before
        return bool(before or self.room.nodes())

    def _relabelled(self, had: Metadata, has: Metadata) -> bool:
        if had.labels == has.labels and had.annotations == has.annotations:
            return False
        known, self._labels = self._labels, None
        return bool(known and known.own) or own_labels(had) != own_labels(has)

    def news(self) -> News:
        """What has been said since the last call."""
        news, self._news = self._news, _NO_NEWS
        return news

    def concern(self, pod: Object) -> bool:
        """What the tenant says of its nodes may concern the pod, which has no node yet."""
        return bool(self._tainted or self.room.nodes()) or asks_of_nodes(pod["spec"])

    def named(self, key: ObjectKey, pod: Object, wanted: Object) -> Object:
        """The super pod, which names nodes where its tenant speaks of what only the tenant knows.

        From now on it holds what it asks for of the tenant's own resources, where it may come to be. Raises
        Refused.
        """
        wanted = by_name(wanted, pod, self._of(pod["spec"]))
        hold = self._hold(pod, wanted["spec"])
        if hold is None:
            self.room.release(key)
            return wanted
        asked = hold.amounts
        if node := pod["spec"].get("nodeName"):
            # Who names a node is put there by no scheduler, and counts nevertheless.
            self.room.found(key, hold, node, bound=True)
            return in_room(wanted, asked, None)
        if pod["spec"].get("schedulingGates"):
            self.room.release(key)  # looked at again when they are gone
            return in_room(wanted, asked, ())
        self._refuse_too_much(hold.where)
        nodes = self.room.reserve(key, hold, self._choice(hold.where))
        rooms = (self.real(name) for name in nodes)
        hostnames = [room.labels[HOSTNAME] for room in rooms if room is not None]
        return in_room(wanted, asked, sorted(hostnames))

    def lacks(self, key: ObjectKey) -> str:
        """What no node has enough of for the pod, in a sentence; empty: nothing that we know of."""
        hold = self.room.get(key)
        if hold is None or hold.nodes:
            return ""
        wanted = ", ".join(f"{quantity(amount)} {name}" for name, amount in hold.amounts.items())
        return f"no node where the pod may run has {wanted} left of what you have given your nodes"

    def found(self, key: ObjectKey, pod: Object, node: str, mirror: Object | None) -> None:
        """A pod was there before us, on that node or (empty) waiting for one: it holds what it held.

        ``mirror``: its super pod, which names the nodes to which it may go.
        """
        hold = self._hold(pod, pod["spec"])
        if hold is None:
            return
        if node:
            self.room.found(key, hold, node, bound=True)
        elif mirror is not None:
            suits = self._choice(placement(mirror["spec"]))
            self.room.found(key, replace(hold, where=UNKNOWN), *filter(suits, self.room.nodes()))

    def _hold(self, pod: Object, spec: Object) -> Hold | None:
        """What the pod asks for of the resources that only the tenant knows; None: nothing."""
        if not (names := self._own_names()):
            return None
        amounts = requested({"spec": pod["spec"]})
        asked = {name: amounts[name] for name in sorted(names & amounts.keys()) if amounts[name]}
        if not asked:
            return None
        priority = pod["spec"].get("priority") or 0
        return Hold(pod["metadata"]["uid"], priority, asked, placement(spec))

    def real(self, name: str) -> NodeRoom | None:
        """The super cluster's node, with what it has; None: it takes no pods."""
        if (entry := self._real(name)) is None:
            self._rooms.pop(name, None)
            return None
        known = self._rooms.get(name)
        if known is None or known[0] is not entry:
            known = self._rooms[name] = entry, node_room(decode_object(entry.raw))
        return known[1]

    def _choice(self, where: bytes) -> Callable[[str], bool]:
        chosen = choice(where)

        def suits(name: str) -> bool:
            room = self.real(name)
            return room is not None and HOSTNAME in room.labels and chosen(room)

        return suits

    def _refuse_too_much(self, where: bytes) -> None:
        """All tenants share the time that looking at so many nodes by so many rules takes."""
        if len(where) * len(self.room.nodes()) > MOST_COMPARED:
            message = (
                f"{len(where)} bytes of it are too many to be compared with the "
                f"{len(self.room.nodes())} nodes that you have given resources: use fewer alternatives"
            )
            raise Refused("spec.affinity", "TooLarge", message)

    def _own_names(self) -> frozenset[str]:
        """What some node has because the tenant says so, and none because the provider does."""
        if self._resources is None:
            own = {name for amounts in self.room.nodes().values() for name in amounts}
            given = [given_names(_view(copy)) for copy in self._copies()] if own else []
            # The tenant can forge these records: what its nodes really have counts in any case.
            rooms = (self.real(name) for name in self.room.nodes())
            given += [frozenset(room.allocatable) for room in rooms if room is not None]
            self._resources = frozenset(own).difference(*given)
        return self._resources

    def _of(self, spec: Object) -> VirtualNodes:
        """What concerns a pod of this spec."""
        if not asks_of_nodes(spec):
            return VirtualNodes(NONE_OWN, self._tainted)
        if self._labels is None:
            nodes = (_view(copy).metadata for copy in self._copies())
            self._labels = node_labels(nodes, self._tenant)
        return VirtualNodes(self._labels, self._tainted)

    def speak_of(self, node: str) -> bool:
        """The tenant keeps pods away from the node, or has given it resources."""
        return node in self._tainted or node in self.room.nodes()

    def evicting(self, node: str) -> tuple[Taint, ...]:
        """The tenant's own taints that pods on the node have to tolerate in order to stay."""
        found = self._tainted.get(node)
        return found.evicting if found is not None else ()


_NO_NEWS = News(labels=False, all_waiting=False, evicting=frozenset())


def _view(node: Entry | None) -> NodeView:
    return decode_node(node.raw) if node is not None else NodeView()
