"""What was granted and is not seen in the super cluster yet. Pure."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol

from syncer.admission.candidates import Candidate
from syncer.runtime.workqueue import Request


class Turn(Protocol):
    """Whether devices may be granted now: of several syncers one at a time does (membership.turn)."""

    @property
    def number(self) -> int:
        """0: not now. Else changes whenever others may have granted meanwhile."""

    def want(self) -> None:
        """Something waits for devices."""

    def settled(self) -> None:
        """Something granted has been seen, or will not come."""


class AlwaysOurs:
    """The turn of a syncer that is alone."""

    number = 1

    def want(self) -> None:
        """See Turn."""

    def settled(self) -> None:
        """See Turn."""


@dataclass(slots=True)
class _Grant:
    pod: Candidate
    turn: int
    sent: bool = False


class Grants:
    """Pods that may go down, by their requests."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._grants: dict[Request, _Grant] = {}
        self._with_devices = 0

    def __contains__(self, request: Request) -> bool:
        return request in self._grants

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._grants))

    def get(self, request: Request) -> Candidate | None:
        """The pod that was granted."""
        grant = self._grants.get(request)
        return grant.pod if grant else None

    def pods(self) -> list[Candidate]:
        """All of them."""
        return [grant.pod for grant in self._grants.values()]

    def add(self, pod: Candidate) -> None:
        """It may go down: as long as this turn lasts, if it wants devices."""
        self._grants[pod.request] = _Grant(pod, self._turn.number if pod.wanted else 0)
        self._with_devices += pod.wanted is not None

    def holds_for(self, candidate: Candidate) -> bool:
        """The very same was granted, and others have granted no devices since."""
        grant = self._grants[candidate.request]
        same = grant.pod.asks_for() == candidate.asks_for()
        return same and (not candidate.wanted or grant.turn in (0, self._turn.number))

    def sent(self, request: Request) -> None:
        """From now on its super pod may come to be."""
        if (grant := self._grants.get(request)) is not None:
            grant.sent = True

    def pop(self, request: Request) -> Candidate | None:
        """It has come, or will not."""
        grant = self._grants.pop(request, None)
        if grant is None:
            return None
        if grant.pod.wanted is not None:
            self._with_devices -= 1
            self._turn.settled()
        return grant.pod

    @property
    def outstanding(self) -> bool:
        """Some that want devices are among them."""
        return self._with_devices > 0

    def unsent(self) -> list[Request]:
        """Those with devices of which nothing has been sent; of a gang nothing at all."""
        begun = {_unit(grant.pod) for grant in self._grants.values() if grant.sent}
        return [
            request
            for request, grant in self._grants.items()
            if grant.pod.wanted is not None and _unit(grant.pod) not in begun
        ]


def _unit(pod: Candidate) -> Hashable:
    return (pod.request.tenant, pod.gang.name) if pod.gang else pod.request
