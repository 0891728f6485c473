"""What is left of the resources that a tenant itself has given to its virtual nodes. Pure.

The super cluster's scheduler knows nothing of them. So a pod that asks for some is told by name which
nodes it may go to, and holds its amounts on all of them until it is on one: two pods never count on the
same amount (docs/decisions/0022).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kube.objects import ObjectKey
from syncer.admission.pod_usage import Usage

UNKNOWN = b""
"""The placement of a pod that was there before us: its super pod names nodes already."""


@dataclass(slots=True)
class Hold:
    """What a pod asks for, and where."""

    uid: str
    priority: int
    amounts: Usage
    where: bytes
    """Its placement (``nodes.placement``), before the nodes with room are named."""
    nodes: frozenset[str] = frozenset()
    """Where it is, or may come to be; none: there is no room for it."""
    bound: bool = False
    stuck: bool = False
    """The scheduler finds no place for it: it would have more nodes if it could."""


class OwnRoom:
    """Of one tenant. Counted anew when a session begins."""

    def __init__(self) -> None:
        self._capacity: dict[str, Usage] = {}
        self._holds: dict[ObjectKey, Hold] = {}
        self._used: dict[str, dict[str, int]] = {}
        self._kept: dict[ObjectKey, str] = {}

    def __bool__(self) -> bool:
        """There is something to count."""
        return bool(self._capacity or self._holds)

    def has(self, node: str, amounts: Usage) -> None:
        """The tenant says that the node has these amounts."""
        if amounts:
            self._capacity[node] = amounts
        else:
            self._capacity.pop(node, None)

    def capacity(self, node: str) -> Usage:
        """What the tenant says that the node has."""
        return self._capacity.get(node, {})

    def nodes(self) -> Mapping[str, Usage]:
        """The nodes that have anything, and what."""
        return self._capacity

    def get(self, pod: ObjectKey) -> Hold | None:
        """What a pod asks for; None: nothing, as far as is known."""
        return self._holds.get(pod)

    def reserve(self, pod: ObjectKey, wish: Hold, suits: Callable[[str], bool]) -> frozenset[str]:
        """The nodes to which the pod may go: there its amounts are held from now on.

        As long as they have room for it, and the scheduler has not found them all unfit, they stay the same.
        """
        known = self._holds.get(pod)
        if known is not None and known.uid == wish.uid:
            wish.stuck = known.stuck
            same = known.amounts == wish.amounts and known.where in (wish.where, UNKNOWN)
            settled = known.nodes and not known.stuck
            if same and settled and all(self._fits(pod, wish, node) for node in known.nodes):
                known.where = wish.where
                return known.nodes
        wish.nodes = frozenset(
            node for node in self._capacity if self._fits(pod, wish, node) and suits(node)
        )
        self._set(pod, wish)
        return wish.nodes

    def found(self, pod: ObjectKey, wish: Hold, *nodes: str, bound: bool = False) -> None:
        """A pod was there before us, on its node (``bound``) or on its way to one of these."""
        wish.bound, wish.nodes = bound, frozenset(nodes)
        self._set(pod, wish)

    def widen(self, pod: ObjectKey, nodes: frozenset[str]) -> None:
        """The pod may come to these too, as long as its super pod is the one that was told so."""
        hold = self._holds.get(pod)
        if hold is not None and not nodes <= hold.nodes:
            self._set(pod, replace(hold, nodes=hold.nodes | nodes))

    def nodes_of(self, pod: ObjectKey) -> frozenset[str]:
        """Where the pod holds something."""
        hold = self._holds.get(pod)
        return hold.nodes if hold is not None else frozenset()

    def placed(self, pod: ObjectKey, uid: str, node: str) -> bool:
        """The pod is on a node; True: others may have room now."""
        hold = self._holds.get(pod)
        if hold is None or hold.uid != uid or hold.bound:
            return False
        freed = bool(hold.nodes - {node})
        self._kept.pop(pod, None)
        self._set(pod, Hold(uid, hold.priority, hold.amounts, hold.where, frozenset((node,)), True))
        return freed

    def release(self, pod: ObjectKey) -> bool:
        """The pod has ended, or no longer asks for anything; True: others may have room now."""
        self._kept.pop(pod, None)
        return self._set(pod, None)

    def is_stuck(self, pod: ObjectKey) -> bool:
        """The scheduler finds no place for the pod; True: that is news, and concerns us."""
        hold = self._holds.get(pod)
        if hold is None or hold.bound or hold.stuck:
            return False
        hold.stuck = True
        return True

    def keep(self, pod: ObjectKey, node: str) -> None:
        """Others make room for the pod on this node: less important ones do not get it."""
        if pod in self._holds:
            self._kept[pod] = node

    def waiting(self) -> list[ObjectKey]:
        """The pods that want more nodes than they have, the most important first."""
        found = [
            (-hold.priority, pod)
            for pod, hold in self._holds.items()
            if not hold.bound and (hold.stuck or not hold.nodes)
        ]
        return [pod for _, pod in sorted(found)]

    def coming(self, node: str, *, but: ObjectKey) -> list[Usage]:
        """The amounts of pods that may come to the node, or not."""
        return [
            hold.amounts
            for pod, hold in self._holds.items()
            if pod != but and not hold.bound and node in hold.nodes
        ]

    def _fits(self, pod: ObjectKey, wish: Hold, node: str) -> bool:
        capacity, used = self._capacity.get(node, {}), self._used.get(node, {})
        own = self._holds.get(pod)
        mine = own.amounts if own is not None and node in own.nodes else {}
        return all(
            amount
            + used.get(name, 0)
            - mine.get(name, 0)
            + self._kept_for_others(pod, wish.priority, node, name)
            <= capacity.get(name, 0)
            for name, amount in wish.amounts.items()
        )

    def _kept_for_others(self, pod: ObjectKey, priority: int, node: str, name: str) -> int:
        """As the scheduler counts nominated pods: those that are as important, or more."""
        return sum(
            hold.amounts.get(name, 0)
            for other, kept in self._kept.items()
            if kept == node and other != pod
            for hold in (self._holds[other],)
            if hold.priority >= priority and node not in hold.nodes
        )

    def _set(self, pod: ObjectKey, hold: Hold | None) -> bool:
        """Change a pod's hold; True: it held something before."""
        before = self._holds.pop(pod, None)
        if before is not None:
            self._count(before, -1)
        if hold is not None:
            self._holds[pod] = hold
            self._count(hold, 1)
        return before is not None and bool(before.nodes)

    def _count(self, hold: Hold, sign: int) -> None:
        for node in hold.nodes:
            used = self._used.setdefault(node, {})
            for name, amount in hold.amounts.items():
                used[name] = used.get(name, 0) + sign * amount
                if not used[name]:
                    del used[name]
            if not used:
                del self._used[node]
