"""The one place that says which pods may go down now: first the tenant's quota, then the devices.

Everything is decided in this process, between two awaits, so there is no race: whoever asks later sees
what was granted before. Granted is not yet created; what was granted stays reserved until the super
pod is seen, or it is known that it will not come.
"""

import time
from collections.abc import Callable, Hashable, Iterable, Sequence

from kube.objects import Object, ObjectKey
from kube.resources import PODS
from syncer.admission import capacity
from syncer.admission.begun import BegunGangs
from syncer.admission.candidates import (
    ALONE,
    FRESH_SECONDS,
    INCOMPLETE,
    INCOMPLETE_SECONDS,
    MEMBER,
    NO_DEVICES,
    NOT_OUR_TURN,
    OVER_QUOTA,
    TOO_LARGE,
    Candidate,
    Hold,
    Ticket,
)
from syncer.admission.capacity import Capacity
from syncer.admission.device_usage import Extended
from syncer.admission.gangs import Gang
from syncer.admission.grants import AlwaysOurs, Grants, Turn
from syncer.admission.kept_room import KeptRoom
from syncer.admission.ledger import Item, Ledger, Shortage
from syncer.admission.nodes import device_room
from syncer.admission.observed import observed_pod
from syncer.admission.pod_usage import Usage
from syncer.entries import SuperPod
from syncer.runtime.workqueue import Request


class Admission:
    """Ledgers by tenant, the cluster's devices, and the pods that wait."""

    def __init__(
        self,
        wake: Callable[[Sequence[Request]], None],
        soon: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
        turn: Turn | None = None,
    ) -> None:
        self.ledgers: dict[str, Ledger] = {}
        """Of the tenants that have a quota."""
        self.extended_resources: Extended = {}
        self._capacity = Capacity(clock)
        self._clock = clock
        self._wake = wake
        self._soon = soon
        self._tickets: dict[Hashable, Ticket] = {}
        self._waits: dict[Request, Ticket] = {}
        self._turn = turn or AlwaysOurs()
        self._granted = Grants(self._turn)
        self._begun = BegunGangs()
        self._kept = KeptRoom(self._capacity, self.ledgers, self._plan)
        self._stale: set[str] = set()
        self._planned = False
        self._arrivals = 0
        self.seen = 0
        """The newest version of a device pod of a tenant of ours."""

    def ask(self, candidate: Candidate) -> Hold | None:
        """None: the pod may go down, and what it needs is reserved. Else it waits and is woken."""
        request = candidate.request
        if request in self._granted:
            if self._granted.holds_for(candidate):
                return None
            self.withdraw(request)  # another one of that name, it was resized, or our turn is over
        ticket = self._ticket(candidate)
        gang = candidate.gang
        if gang is not None and ticket.name != request and len(ticket.pods) < gang.size:
            self._unreserve(ticket)
            return self._held(ticket, request, Hold(INCOMPLETE, present=len(ticket.pods)))
        if ticket.hold is not None and self._clock() - ticket.answered < FRESH_SECONDS:
            return ticket.hold
        hold = self._advance(ticket)
        if hold is None:
            self._grant(ticket, but=request)
            return None
        return self._held(ticket, request, hold)

    def is_late(self, request: Request) -> bool:
        """The pod waits for the rest of its gang longer than it should."""
        ticket = self._waits.get(request)
        return ticket is not None and self._clock() - ticket.since >= INCOMPLETE_SECONDS

    def withdraw(self, request: Request) -> None:
        """The pod goes nowhere: what waits for it or was reserved for it is given back."""
        granted = self._granted.pop(request)
        if granted is not None:
            if self._capacity.hold(granted.mirror, None):
                self._plan("")
            self._settle(granted)
        ticket = self._waits.pop(request, None)
        if ticket is None:
            return
        gone = ticket.pods.pop(request)
        ledger = self.ledgers.get(ticket.tenant)
        self._capacity.withdraw(ticket.name)
        if ledger is not None:
            ledger.withdraw(ticket.name)
            self._settle(gone)
        self._plan(ticket.tenant)
        if not ticket.pods:
            self._tickets.pop(ticket.name, None)
        else:
            self._unreserve(ticket)
            ticket.hold = None
            self._wake(list(ticket.pods))

    def sending(self, request: Request) -> None:
        """The request to create the super pod is sent now."""
        self._granted.sent(request)

    def in_doubt(self, request: Request) -> bool:
        """A request to create the super pod may have been sent, and no answer has come."""
        return request in self._granted

    def super_pod(
        self, key: ObjectKey, before: SuperPod | None, after: SuperPod | None, raw: bytes
    ) -> None:
        """Take in what the super cluster says of a pod that counts."""
        pod = after or before
        if pod is None:
            return
        ledger = self.ledgers.get(pod.tenant)
        counts = ledger is not None or bool(pod.gang)
        extended = self.extended_resources
        seen = observed_pod(pod, raw, counts=counts, extended=extended) if after else None
        if ledger is not None and ledger.observe(
            Item(PODS.plural, key), seen.usage if seen else None
        ):
            self._plan(pod.tenant)
        if pod.devices:
            self.seen = max(self.seen, pod.version)
            if self._capacity.hold(key, seen.held if seen else None):
                self._plan("")
        if pod.gang:
            gang = Gang.from_mark(pod.gang)
            if seen is not None and seen.alive:
                wanted = seen.held.wanted if seen.held else None
                self._begun.alive(pod.tenant, gang, key, seen.usage, wanted)
            else:
                self._begun.gone(pod.tenant, gang, key)
        if after is not None:
            request = Request(pod.tenant, PODS.plural, *pod.source)
            granted = self._granted.get(request)
            if granted is not None and granted.uid == after.source_uid:
                self._granted.pop(request)
                self._settle(granted)

    def others_pod(self, key: ObjectKey, after: SuperPod | None, raw: bytes) -> None:
        """Take in what the super cluster says of a device pod that another syncer cares for."""
        seen = observed_pod(after, raw, counts=False) if after is not None else None
        if self._capacity.hold(key, seen.held if seen else None):
            self._plan("")

    def turn_came(self) -> None:
        """Devices may be granted now (see membership.turn)."""
        self._grant_all(self._grantable())
        for ticket in [t for t in self._tickets.values() if t.reason == NOT_OUR_TURN]:
            claim = self._capacity.claimed(ticket.name)
            self._held(ticket, None, Hold(NO_DEVICES, free=self._capacity.free(claim)))

    def outstanding(self) -> bool:
        """Pods with devices were granted and are not seen yet."""
        return self._granted.outstanding

    def take_back(self) -> None:
        """Grant anew, in a later turn, what wants devices and of which nothing has been sent."""
        for request in self._granted.unsent():
            self.withdraw(request)
            self._wake([request])

    def mirror(self, tenant: str, item: Item, usage: Usage | None) -> None:
        """Take in what the super cluster says of another object of a tenant with a quota."""
        if self.ledgers[tenant].observe(item, usage):
            self._plan(tenant)

    def claim(self, request: Request, item: Item, usage: Usage) -> Shortage | None:
        """Reserve for an object that is no pod, or for a pod's growth. None: done; else it waits."""
        self._arrivals += 1
        order = (ALONE, 0, "", self._arrivals)
        return self.ledgers[request.tenant].claim(request, order, {item: usage})

    def settle(self, tenant: str, item: Item) -> None:
        """It is known what became of a request for which ``claim`` reserved."""
        ledger = self.ledgers.get(tenant)
        if ledger is not None and ledger.settle(item):
            self._plan(tenant)

    def unclaim(self, request: Request) -> None:
        """The object is gone and waits no longer."""
        ledger = self.ledgers.get(request.tenant)
        if ledger is not None and ledger.withdraw(request):
            self._plan(request.tenant)

    def node(self, name: str, node: Object | None) -> None:
        """A node of the super cluster has come, changed or gone."""
        if not self._capacity.node(name, device_room(node) if node else None):
            return
        self._plan("")
        for ticket in self._tickets.values():
            if ticket.reason == TOO_LARGE:
                ticket.hold = None
                self._wake(list(ticket.pods))

    def open(self, tenant: str, hard: Usage) -> Ledger | None:
        """A session begins: its ledger, whose amounts have to be made known. None: no quota."""
        if not hard:
            self.ledgers.pop(tenant, None)
            return None
        ledger = self.ledgers.setdefault(tenant, Ledger())
        ledger.hard, ledger.known = hard, False
        return ledger

    def known(self, tenant: str) -> None:
        """All that the tenant's super namespaces hold is in the ledger."""
        self.keep_room(tenant)
        self.ledgers[tenant].known = True
        self._plan(tenant)

    def keep_room(self, tenant: str = "") -> None:
        """Keep room for the rest of gangs that have begun (of one tenant, or all): see KeptRoom."""
        self._kept.keep(self._begun.missing(tenant), tenant)

    def let_go(self, tenant: str = "") -> None:
        """Whoever was to come has come, or will not."""
        self._kept.let_go(tenant)

    def drop(self, tenant: str, doubts: Iterable[Item]) -> None:
        """Give back what an earlier session had reserved: what it sent has long been answered."""
        kept = {pod.mirror for pod in self._granted.pods()}
        kept |= {pod.mirror for ticket in self._tickets.values() for pod in ticket.pods.values()}
        for item in doubts:
            if item.key not in kept:
                self.settle(tenant, item)

    def close(self, tenant: str) -> None:
        """The session has ended: nothing waits any more. What is reserved stays so (see ``open``)."""
        for request in [request for request in self._waits if request.tenant == tenant]:
            self.withdraw(request)
        for request in [request for request in self._granted if request.tenant == tenant]:
            if (pod := self._granted.pop(request)) is not None:
                self._capacity.hold(pod.mirror, None)
        self._plan(tenant)

    def forget(self, tenant: str) -> None:
        """The tenant is gone."""
        self.ledgers.pop(tenant, None)

    def waiting(self, tenant: str) -> dict[str, int]:
        """How many pods wait, by reason."""
        counts: dict[str, int] = {}
        for ticket in self._tickets.values():
            if ticket.tenant == tenant and ticket.reason:
                counts[ticket.reason] = counts.get(ticket.reason, 0) + len(ticket.pods)
        return counts

    def _ticket(self, candidate: Candidate) -> Ticket:
        """The ticket of the pod, with this very candidate in it."""
        request, gang = candidate.request, candidate.gang
        begun = gang is not None and (request.tenant, gang.name) in self._begun
        name: Hashable = request
        if gang is not None and not begun and gang.size > 1:
            name = request.tenant, gang.name
        ticket = self._waits.get(request)
        if ticket is not None and (
            ticket.name != name or ticket.pods[request].uid != candidate.uid
        ):
            self.withdraw(request)
            ticket = None
        if ticket is None:
            ticket = self._tickets.setdefault(name, Ticket(name, request.tenant, self._clock()))
            self._arrivals += 1
            rank = MEMBER if begun else ALONE
            if begun and gang is not None:
                self._kept.comes(request.tenant, gang.name)
            order = rank, -candidate.priority, candidate.created, self._arrivals
            ticket.order = min(ticket.order, order) if ticket.pods else order
            self._waits[request] = ticket
        known = ticket.pods.get(request)
        if known is None or known.asks_for() != candidate.asks_for():
            ticket.reserved, ticket.hold = False, None  # not for this one, or not as much
        ticket.pods[request] = candidate
        return ticket

    def _advance(self, ticket: Ticket) -> Hold | None:
        """First the quota, then the devices; None: through."""
        pods = ticket.pods.values()
        wanted = {pod.mirror: pod.wanted for pod in pods if pod.wanted is not None}
        devices = None
        if wanted and ticket.order[0] != MEMBER:
            gang, weight = len(ticket.pods) > 1, next(iter(pods)).weight
            devices = capacity.Claim(ticket.tenant, weight, ticket.order, wanted, gang)
            if gang and not self._capacity.fits_empty(devices):
                return Hold(TOO_LARGE, free=self._capacity.free(devices.devices))
        ledger = self.ledgers.get(ticket.tenant)
        if ledger is not None and not ticket.reserved:
            items = {Item(PODS.plural, pod.mirror): pod.usage for pod in pods}
            if short := ledger.claim(ticket.name, ticket.order, items):
                return Hold(OVER_QUOTA, short)
            ticket.reserved = True
        if devices is None:
            return None
        self._capacity.claim(ticket.name, devices)
        if not self._turn.number:
            self._turn.want()
            return Hold(NOT_OUR_TURN)
        granted = self._grantable()
        self._grant_all(name for name in granted if name != ticket.name)
        if ticket.name in granted:
            return None
        return Hold(NO_DEVICES, free=self._capacity.free(devices.devices))

    def _held(self, ticket: Ticket, request: Request | None, hold: Hold) -> Hold:
        told = ticket.reason
        ticket.hold, ticket.answered = hold, self._clock()
        if hold.reason not in (told, INCOMPLETE):  # the others have something to tell, too
            self._wake([other for other in ticket.pods if other != request])
        return hold

    def _grant(self, ticket: Ticket, but: Request | None = None) -> None:
        """All pods of the ticket may go down: the largest first, as they need the emptiest nodes."""
        self._tickets.pop(ticket.name, None)
        pods = sorted(ticket.pods.values(), key=_size, reverse=True)
        for pod in pods:
            self._waits.pop(pod.request, None)
            self._granted.add(pod)
            if pod.wanted is not None:
                held = capacity.Held(ticket.tenant, pod.wanted, pod.gang is not None)
                self._capacity.hold(pod.mirror, held)
        self._wake([pod.request for pod in pods if pod.request != but])

    def _grant_all(self, names: Iterable[Hashable]) -> None:
        for name in names:
            self._grant(self._tickets[name])

    def _plan(self, tenant: str) -> None:
        """Look at what waits, once all that is told now has been taken in."""
        self._stale.add(tenant)
        if not self._planned:
            self._planned = True
            self._soon(self._look)

    def _look(self) -> None:
        self._planned = False
        stale, self._stale = self._stale, set()
        for tenant in stale:
            ledger = self.ledgers.get(tenant)
            for name in ledger.grant() if ledger else ():
                self._has_quota(name)
        self._grant_all(self._grantable())

    def _grantable(self) -> list[Hashable]:
        """What there are devices for, if it is our turn to say so."""
        if self._turn.number:
            return self._capacity.grant()
        if self._capacity.waits:
            self._turn.want()
        return []

    def _has_quota(self, name: Hashable) -> None:
        ticket = self._tickets.get(name)
        if ticket is None:
            if isinstance(name, Request):
                self._wake([name])  # an object that is no pod
            return
        ticket.reserved = True
        hold = self._advance(ticket)
        if hold is None:
            self._grant(ticket)
        else:
            self._held(ticket, None, hold)

    def _unreserve(self, ticket: Ticket) -> None:
        ticket.reserved = False
        for pod in ticket.pods.values():
            self._settle(pod)

    def _settle(self, pod: Candidate) -> None:
        self.settle(pod.request.tenant, Item(PODS.plural, pod.mirror))


def _size(pod: Candidate) -> int:
    return sum(pod.wanted.devices().values()) if pod.wanted is not None else 0
