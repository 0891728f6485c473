"""What one tenant uses of its quota, item by item, and what waits for room. Pure.

An item is a mirror in the super cluster: only the syncer creates mirrors, so a reservation that is made
before the request is sent, and kept until it is known what became of it, makes the sum exact.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kube.objects import ObjectKey
from kube.quantities import quantity
from syncer.admission.pod_usage import Usage

Order = tuple[int, int, str, int]
"""Who comes first: the members of gangs that have begun, then by priority, age and arrival."""


class Item(NamedTuple):
    """A mirror that counts."""

    kind: str
    key: ObjectKey
    """In the super cluster."""


class Shortage(NamedTuple):
    """Why something has to wait: what it wants, and what is used and allowed, of what is short."""

    wanted: Usage
    used: Usage
    hard: Usage
    never: bool
    """It wants more than the quota allows at all."""


@dataclass(slots=True)
class _Charge:
    observed: Usage = field(default_factory=dict)
    """What the mirror shows."""
    reserved: Usage = field(default_factory=dict)
    """What a request that may be under way asks for."""

    def amount(self) -> Usage:
        if not self.reserved:
            return self.observed
        keys = self.observed.keys() | self.reserved.keys()
        return {key: max(self.observed.get(key, 0), self.reserved.get(key, 0)) for key in keys}


@dataclass(frozen=True, slots=True)
class _Claim:
    order: Order
    items: Mapping[Item, Usage]


class Ledger:
    """Fails closed: until ``known`` is set nothing is granted."""

    def __init__(self) -> None:
        self.hard: Usage = {}
        self.known = False
        self.used: dict[str, int] = {}
        self._charges: dict[Item, _Charge] = {}
        self._claims: dict[Hashable, _Claim] = {}
        self._kept_for: dict[str, Order] = {}
        """What an older claim is short of: younger ones that want some of it wait behind."""

    def observe(self, item: Item, usage: Usage | None) -> bool:
        """The mirror counts for this much, or is gone (None); True: there may be room now."""
        charge = self._charges.get(item)
        if charge is None:
            if usage is None:
                return False
            charge = _Charge()
        return self._set(item, charge, usage or {}, charge.reserved, gone=usage is None)

    def settle(self, item: Item) -> bool:
        """It is known what became of the request; True: there may be room now."""
        charge = self._charges.get(item)
        if charge is None:
            return False
        return self._set(item, charge, charge.observed, {}, gone=not charge.observed)

    def holds(self, item: Item) -> bool:
        """There is a reservation whose outcome is not known."""
        charge = self._charges.get(item)
        return charge is not None and bool(charge.reserved)

    def reserved(self) -> list[Item]:
        """The items with a reservation."""
        return [item for item, charge in self._charges.items() if charge.reserved]

    def charged(self) -> list[Item]:
        """All items."""
        return list(self._charges)

    def claim(self, name: Hashable, order: Order, items: Mapping[Item, Usage]) -> Shortage | None:
        """Reserve all items or none. None: done. Else the claim waits for room (see ``grant``)."""
        if name in self._claims:
            order = min(order, self._claims[name].order)  # asked again, it keeps its place
        claim = _Claim(order, items)
        needs = self._needs(claim)
        lacking = {key for key in needs if self._lacks(key, needs[key])}
        behind = {key for key in needs if self._kept_for.get(key, order) < order}
        if self.known and not lacking and not behind:
            self._reserve(claim)
            self._claims.pop(name, None)
            return None
        self._claims[name] = claim
        short = (lacking | behind) if self.known else set(needs)
        never = any(self._total(claim, key) > self.hard[key] for key in short)
        if not never:
            for key in lacking:
                self._kept_for[key] = min(order, self._kept_for.get(key, order))
        return Shortage(
            wanted={key: needs[key] for key in short},
            used={key: self.used.get(key, 0) for key in short},
            hard={key: self.hard[key] for key in short},
            never=never,
        )

    def withdraw(self, name: Hashable) -> bool:
        """The claim no longer waits; True: others may go down now."""
        return self._claims.pop(name, None) is not None

    def grant(self) -> list[Hashable]:
        """Reserve for the claims that there is room for, the oldest first; their names."""
        granted = []
        self._kept_for = {}
        if not self.known:
            return []
        for name, claim in sorted(self._claims.items(), key=lambda item: item[1].order):
            needs = self._needs(claim)
            lacking = {key for key in needs if self._lacks(key, needs[key])}
            if not lacking and not needs.keys() & self._kept_for.keys():
                self._reserve(claim)
                del self._claims[name]
                granted.append(name)
            elif all(self._total(claim, key) <= self.hard[key] for key in lacking):
                for key in lacking:
                    self._kept_for.setdefault(key, claim.order)
        return granted

    def _needs(self, claim: _Claim) -> dict[str, int]:
        """What is wanted beyond what the items count for already, of what is limited."""
        needs: dict[str, int] = {}
        for item, usage in claim.items.items():
            charge = self._charges.get(item)
            have = charge.amount() if charge else {}
            for key, value in usage.items():
                if key in self.hard and value > have.get(key, 0):
                    needs[key] = needs.get(key, 0) + value - have.get(key, 0)
        return needs

    def _total(self, claim: _Claim, key: str) -> int:
        return sum(usage.get(key, 0) for usage in claim.items.values())

    def _lacks(self, key: str, wanted: int) -> bool:
        return self.used.get(key, 0) + wanted > self.hard[key]

    def _reserve(self, claim: _Claim) -> None:
        for item, usage in claim.items.items():
            charge = self._charges.get(item) or _Charge()
            self._set(item, charge, charge.observed, usage, gone=False)

    def _set(
        self, item: Item, charge: _Charge, observed: Usage, reserved: Usage, *, gone: bool
    ) -> bool:
        before = charge.amount()
        charge.observed, charge.reserved = observed, reserved
        after = charge.amount()
        if gone and not reserved:
            self._charges.pop(item, None)
        else:
            self._charges[item] = charge
        _change(self.used, before, -1)
        _change(self.used, after, 1)
        return any(after.get(key, 0) < value for key, value in before.items())


def _change(total: dict[str, int], usage: Usage, sign: int) -> None:
    for key, value in usage.items():
        total[key] = total.get(key, 0) + sign * value


def is_binary(key: str) -> bool:
    """The key of a quota counts bytes."""
    return any(word in key for word in ("memory", "storage", "hugepages")) and "claims" not in key


def describe(short: Shortage) -> str:
    """What is used, wanted and allowed, in a sentence."""
    parts = []
    for key in sorted(short.wanted):
        binary = is_binary(key)
        used, wanted, hard = (
            quantity(amounts.get(key, 0), binary=binary)
            for amounts in (short.used, short.wanted, short.hard)
        )
        parts.append(f"{key}: {used} used, {wanted} wanted, {hard} allowed")
    sentence = "; ".join(parts) or "what is used is not known yet"
    return f"{sentence} (more than the quota allows at all)" if short.never else sentence
