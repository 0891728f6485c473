"""Who holds which host name, over all tenants and the provider; and who waits for one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kube.objects import Object, ObjectKey
from syncer.runtime.workqueue import Request


@dataclass(frozen=True, slots=True)
class Holder:
    """An object of the super cluster that asks for hosts."""

    tenant: str
    """Empty: the provider."""
    request: Request
    """The look at the tenant's object behind it."""
    hosts: frozenset[str]
    since: tuple[str, str]
    """When it was created, and its UID: of two that hold the same host the first one stays."""


@dataclass(slots=True)
class Hosts:
    """What is held is what the super cluster's objects say, and what is just being written."""

    _held: dict[ObjectKey, Holder] = field(default_factory=dict)
    _under_way: dict[ObjectKey, Holder] = field(default_factory=dict)
    _waiting: dict[Request, frozenset[str]] = field(default_factory=dict)

    def show(self, key: ObjectKey, holder: Holder | None) -> set[Request]:
        """The super object holds these hosts, or is gone (None). Whose requests are to be looked at."""
        before = self._held.pop(key, None)
        if holder is not None:
            self._held[key] = holder
        hosts = holder.hosts if holder else frozenset[str]()
        freed = (before.hosts if before else frozenset[str]()) - hosts
        woken = {request for request, wanted in self._waiting.items() if overlap(wanted, freed)}
        for request in woken:
            del self._waiting[request]
        if holder is not None and (before is None or hosts - before.hosts):
            rivals = self._others(holder.tenant, hosts)
            woken |= {rival.request for _, rival in rivals} | (
                {holder.request} if rivals else set()
            )
        return woken

    def taken(self, tenant: str, key: ObjectKey, request: Request, wanted: frozenset[str]) -> str:
        """A wanted host that somebody else holds; empty: none, and they are this object's now.

        Whoever is refused waits, and is woken when the host is free. ``release`` ends the writing.
        """
        self._waiting.pop(request, None)
        own = self._held.get(key)
        for host, other in self._others(tenant, wanted):
            mine = own is not None and own.tenant == tenant and overlap(own.hosts, {host})
            if own is None or not mine or not other.tenant or other.since < own.since:
                self._waiting[request] = wanted
                return host
        self._under_way[key] = Holder(tenant, request, wanted, ("", ""))
        return ""

    def holds(self, key: ObjectKey, host: str) -> bool:
        """The super object of that key asks for the host, or for one that overlaps."""
        own = self._held.get(key)
        return own is not None and overlap(own.hosts, {host})

    def release(self, key: ObjectKey) -> None:
        """The write has ended: from now on what the super cluster shows holds."""
        self._under_way.pop(key, None)

    def forget(self, request: Request) -> None:
        """The tenant's object no longer waits."""
        self._waiting.pop(request, None)

    def forget_tenant(self, tenant: str) -> None:
        """Nobody of the tenant waits any more; what is held stays held."""
        for request in [request for request in self._waiting if request.tenant == tenant]:
            del self._waiting[request]

    def _others(self, tenant: str, hosts: Iterable[str]) -> list[tuple[str, Holder]]:
        """Who else holds any of the hosts, with the host."""
        holders = [*self._held.values(), *self._under_way.values()]
        return [
            (host, holder)
            for holder in holders
            if holder.tenant != tenant
            for host in sorted(hosts)
            if overlap(holder.hosts, {host})
        ]


def overlap(ones: Iterable[str], others: Iterable[str]) -> bool:
    """A request could be for both: the same host, or one below the other's wildcard."""
    rest = list(others)
    return any(_meet(one, other) for one in ones for other in rest)


def _meet(one: str, other: str) -> bool:
    for wildcard, host in ((one, other), (other, one)):
        # Controllers differ in how many labels a wildcard stands for, so it stands for any.
        if wildcard.startswith("*.") and host.endswith(wildcard[1:]):
            return True
    return one == other


def holder_of(obj: Object, tenant: str, request: Request, hosts: frozenset[str]) -> Holder:
    """The holder that an object of the super cluster is."""
    metadata = obj["metadata"]
    since = str(metadata.get("creationTimestamp", "")), str(metadata["uid"])
    return Holder(tenant, request, hosts, since)
