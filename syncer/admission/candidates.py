"""Pods that could go down, and why they may not yet. Values only."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from kube.objects import ObjectKey
from syncer.admission.gangs import Gang
from syncer.admission.ledger import Order, Shortage
from syncer.admission.nodes import Wanted
from syncer.admission.pod_usage import Usage
from syncer.runtime.workqueue import Request

INCOMPLETE_SECONDS = 30.0
"""A gang whose pods are not all there after this time: the tenant is told."""

FRESH_SECONDS = 5.0
"""So long an answer to one pod of a gang is also given to the others; what changes it wakes them."""

MEMBER, ALONE = 0, 1
"""The first part of an order: a gang that has begun is completed before anything else begins."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that could go down."""

    request: Request
    mirror: ObjectKey
    uid: str
    priority: int
    created: str
    usage: Usage
    """What it counts for against the tenant's quota."""
    wanted: Wanted | None
    """Only of a pod that wants devices."""
    gang: Gang | None
    weight: int = 1

    def asks_for(self) -> tuple[str, Usage, Wanted | None]:
        """Candidates of which this is equal are the same, to the admission."""
        return self.uid, self.usage, self.wanted


class Hold(NamedTuple):
    """Why a pod may not go down now."""

    reason: str
    shortage: Shortage | None = None
    present: int = 0
    free: Usage | None = None


INCOMPLETE = "GangIncomplete"
OVER_QUOTA = "QuotaExceeded"
NO_DEVICES = "WaitingForDevices"
TOO_LARGE = "GangTooLarge"
NOT_OUR_TURN = "NotOurTurn"
"""Another syncer hands out devices at this moment; the tenant is told nothing of that."""


@dataclass(slots=True)
class Ticket:
    """Pods that go down together: a gang, or one pod."""

    name: Hashable
    tenant: str
    since: float
    pods: dict[Request, Candidate] = field(default_factory=dict)
    order: Order = (ALONE, 0, "", 0)
    reserved: bool = False
    """The quota has room for all, and it is theirs."""
    hold: Hold | None = None
    """The last answer; None: something about its pods has changed since."""
    answered: float = 0.0

    @property
    def reason(self) -> str:
        """Why it waits; empty if that is not known."""
        return self.hold.reason if self.hold else ""
