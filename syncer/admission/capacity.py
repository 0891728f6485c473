"""Which gangs the cluster has devices for, over all tenants. Pure but for the clock it is given.

Without gang support in the scheduler a gang may only go down when all its members find their devices at
once: else two gangs hold half of theirs each, for ever. So the devices of all tenants' pods are counted,
bound or on their way, and a gang waits until the rest is enough (docs/decisions/0009).
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kube.objects import ObjectKey
from syncer.admission.ledger import Order
from syncer.admission.nodes import NodeRoom, Room, Wanted, place, take
from syncer.admission.pod_usage import Usage, is_extended

PATIENCE_SECONDS = 60.0
"""For so long a gang that does not fit lets others pass; then they wait behind it."""


@dataclass(frozen=True, slots=True)
class Held:
    """Devices that a pod of the super cluster holds, or will hold in a moment."""

    tenant: str
    wanted: Wanted
    gang: bool = False
    node: str = ""
    """Empty: not bound yet."""
    stuck: bool = False
    """The scheduler has said that it finds no place."""


@dataclass(slots=True)
class Claim:
    """Pods that go down together, or not at all."""

    tenant: str
    weight: int
    order: Order
    pods: Mapping[ObjectKey, Wanted]
    """By super pod."""
    gang: bool
    since: float = 0.0
    possible: bool = True
    """The empty cluster has room for it."""
    devices: dict[str, int] = field(init=False)
    """What all pods want together, by device."""

    def __post_init__(self) -> None:
        self.devices = {}
        for pod in self.pods.values():
            for name, amount in pod.devices().items():
                self.devices[name] = self.devices.get(name, 0) + amount


class Capacity:
    """The devices of the super cluster, and who waits for them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._nodes: dict[str, NodeRoom] = {}
        self._held: dict[ObjectKey, Held] = {}
        self._claims: dict[Hashable, Claim] = {}

    def node(self, name: str, room: NodeRoom | None) -> bool:
        """A node has come, changed or gone; True: it was news."""
        if self._nodes.get(name) == room:
            return False
        if room is None:
            del self._nodes[name]
        else:
            self._nodes[name] = room
        for claim in self._claims.values():
            claim.possible = self.fits_empty(claim)
        return True

    def hold(self, key: ObjectKey, held: Held | None) -> bool:
        """A super pod holds devices, or no longer; True: claims may be answered differently now."""
        before = self._held.get(key)
        if held is None:
            self._held.pop(key, None)
        else:
            self._held[key] = held
        return before != held and bool(self._claims)

    def claim(self, name: Hashable, claim: Claim) -> None:
        """Wait for devices, which ``grant`` gives."""
        known = self._claims.get(name)
        claim.since = known.since if known else self._clock()
        claim.possible = self.fits_empty(claim)
        self._claims[name] = claim

    def fits_empty(self, claim: Claim) -> bool:
        """The cluster would have room for the claim, were it empty."""
        room = {name: dict(node.allocatable) for name, node in self._nodes.items()}
        return place(claim.pods.values(), self._nodes, room)

    def withdraw(self, name: Hashable) -> bool:
        """The claim no longer waits; True: others may go down now."""
        return self._claims.pop(name, None) is not None

    def grant(self) -> list[Hashable]:
        """Hold devices for the claims that there is room for; their names.

        Tenants come in turn by what they hold for their weight, and within one the oldest first. A
        claim whose patience is over comes before all and lets nobody pass.
        """
        if not self._claims:
            return []
        room, loose = self._room()
        free = _free(room)
        granted: list[Hashable] = []
        kept: set[str] = set()
        shares, now = self._shares(), self._clock()
        waiting = list(self._claims)
        while waiting:
            waiting.sort(key=lambda name: self._rank(self._claims[name], shares, now), reverse=True)
            while waiting:
                name = waiting.pop()
                claim = self._claims[name]
                devices = claim.devices
                if kept & devices.keys():
                    continue
                if self._placed(claim, free, room, loose) or self._needs_no_room(claim):
                    free = _free(room)
                    loose.extend(claim.pods.values())
                    self._take(name)
                    granted.append(name)
                    shares[claim.tenant] = shares.get(claim.tenant, 0) + sum(devices.values())
                    break  # another tenant's turn
                if self._is_impatient(claim, now) and claim.possible:
                    kept |= devices.keys()
        return granted

    @property
    def waits(self) -> bool:
        """Something waits for devices."""
        return bool(self._claims)

    def claimed(self, name: Hashable) -> Mapping[str, int]:
        """The devices that a claim waits for."""
        return self._claims[name].devices if name in self._claims else {}

    def free(self, devices: Iterable[str]) -> Usage:
        """What is free of some devices, for messages."""
        room, _ = self._room()
        free = _free(room)
        return {name: free.get(name, 0) for name in devices}

    def _take(self, name: Hashable) -> None:
        claim = self._claims.pop(name)
        for key, wanted in claim.pods.items():
            self._held[key] = Held(claim.tenant, wanted, claim.gang)

    def _room(self) -> tuple[Room, list[Wanted]]:
        """What is free once all that is on its way has a place, and what is on its way."""
        room = {name: dict(node.allocatable) for name, node in self._nodes.items()}
        unbound = []
        for held in self._held.values():
            if not held.node:
                unbound.append(held)
            elif held.node in room:
                take(room[held.node], held.wanted.amounts)
        place([held.wanted for held in unbound], self._nodes, room)
        return room, [held.wanted for held in unbound if not held.stuck]

    def _placed(self, claim: Claim, free: Usage, room: Room, loose: Sequence[Wanted]) -> bool:
        """Take the claim's room, if there is enough for all of it.

        Where the scheduler puts what is on its way is not known. That makes no difference among pods
        of one size; while others are under way, a gang waits until they are bound.
        """
        if any(amount > free.get(name, 0) for name, amount in claim.devices.items()):
            return False
        if loose:
            sizes = [frozenset(pod.devices().items()) for pod in (*claim.pods.values(), *loose)]
            if len(set(sizes)) > 1:
                return False
        attempt = {name: dict(left) for name, left in room.items()}
        if not place(claim.pods.values(), self._nodes, attempt):
            return False
        room.update(attempt)
        return True

    def _needs_no_room(self, single: Claim) -> bool:
        """A pod of its own goes down although it fits nowhere, as in any cluster.

        Unless it could take what a gang waits for, or is on its way to.
        """
        if single.gang:
            return False
        devices = single.devices.keys()
        return not any(
            claim.gang and claim.possible and devices & claim.devices.keys()
            for claim in self._claims.values()
        ) and not any(
            held.gang and not held.node and devices & held.wanted.amounts.keys()
            for held in self._held.values()
        )

    def _shares(self) -> dict[str, int]:
        shares: dict[str, int] = {}
        for held in self._held.values():
            amount = sum(held.wanted.devices().values())
            shares[held.tenant] = shares.get(held.tenant, 0) + amount
        return shares

    def _rank(
        self, claim: Claim, shares: Mapping[str, int], now: float
    ) -> tuple[bool, float, Order]:
        if self._is_impatient(claim, now):
            return False, 0.0, claim.order
        return True, shares.get(claim.tenant, 0) / claim.weight, claim.order

    def _is_impatient(self, claim: Claim, now: float) -> bool:
        return now - claim.since > PATIENCE_SECONDS


def _free(room: Room) -> Usage:
    """What is free on all nodes together, by device."""
    total: dict[str, int] = {}
    for free in room.values():
        for name, amount in free.items():
            if amount > 0 and is_extended(name):
                total[name] = total.get(name, 0) + amount
    return total
