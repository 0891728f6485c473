"""A tenant's share of a node, as counters that never go back though pods come and go."""

from collections import OrderedDict
from collections.abc import Mapping

REMEMBERED_TENANTS = 4096


class Share:
    """The counters of one tenant, by name."""

    def __init__(self) -> None:
        self._ended: dict[str, float] = {}
        self._latest: dict[str, dict[str, float]] = {}

    def counter(self, name: str, by_pod: Mapping[str, float]) -> float:
        """The sum over the pods there are, by UID, and over those that there were."""
        before = self._latest.get(name, {})
        ended = self._ended.get(name, 0.0)
        for uid, value in before.items():
            # A counter that fell began anew: what it had reached before stays counted.
            if by_pod.get(uid, -1.0) < value:
                ended += value
        self._ended[name] = ended
        self._latest[name] = dict(by_pod)
        return ended + sum(by_pod.values())


class Totals:
    """The shares of all tenants that ask."""

    def __init__(self) -> None:
        self._shares: OrderedDict[str, Share] = OrderedDict()

    def of(self, tenant: str) -> Share:
        """The tenant's share since it first asked."""
        share = self._shares.setdefault(tenant, Share())
        self._shares.move_to_end(tenant)
        if len(self._shares) > REMEMBERED_TENANTS:
            self._shares.popitem(last=False)
        return share
