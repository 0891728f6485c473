"""Room for the rest of gangs that had begun before a restart. Pure."""

from collections.abc import Callable, Iterable, Mapping

from syncer.admission.begun import Missing
from syncer.admission.capacity import Capacity, Held
from syncer.admission.ledger import Item, Ledger

KIND = "gangs"
"""The kind of ledger items that stand for pods which are still to come."""


class KeptRoom:
    """What is missing counts against quota and devices until it comes, or is no longer waited for.

    After a restart the pods of a gang may be asked about later than others, which would take the room
    that had been reserved for them.
    """

    def __init__(
        self, capacity: Capacity, ledgers: Mapping[str, Ledger], freed: Callable[[str], None]
    ) -> None:
        self._capacity = capacity
        self._ledgers = ledgers
        self._freed = freed
        self._missing: list[Missing] = []

    def keep(self, missing: Iterable[Missing], tenant: str) -> None:
        """Keep room for these, instead of what was kept for the tenant (empty: for all)."""
        self.let_go(tenant)
        for pod in missing:
            self._missing.append(pod)
            if pod.wanted is not None:
                self._capacity.hold(pod.key, Held(pod.tenant, pod.wanted, gang=True))
            if (ledger := self._ledgers.get(pod.tenant)) is not None:
                ledger.observe(Item(KIND, pod.key), pod.usage)

    def comes(self, tenant: str, gang: str) -> None:
        """One of the gang's pods asks now: it needs room of its own."""
        for pod in self._missing:
            if (pod.tenant, pod.gang) == (tenant, gang):
                self._missing.remove(pod)
                self._give_back(pod)
                return

    def let_go(self, tenant: str) -> None:
        """Whoever was to come (of one tenant, or all) has come, or will not."""
        for pod in [pod for pod in self._missing if tenant in ("", pod.tenant)]:
            self._missing.remove(pod)
            self._give_back(pod)

    def _give_back(self, pod: Missing) -> None:
        self._capacity.hold(pod.key, None)
        self._freed("")
        ledger = self._ledgers.get(pod.tenant)
        if ledger is not None and ledger.observe(Item(KIND, pod.key), None):
            self._freed(pod.tenant)
