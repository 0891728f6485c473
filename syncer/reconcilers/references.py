"""What uses objects of the kinds that go down on demand: pods, and ingresses their certificates."""

from collections.abc import Callable, Iterator

from kube.objects import Object, ObjectKey, decode_object
from kube.resources import PODS, Resource
from syncer.entries import Entry
from syncer.kinds import pod_volumes
from syncer.kinds.mirror import DownwardKind
from syncer.tenant_state import UNUSED_SECONDS, TenantState
from syncer.usage import References
from vcluster.api import Tenant

ReferencesOf = Callable[[Object, Tenant], References]


def record(state: TenantState, kind: DownwardKind, key: ObjectKey, source: Entry | None) -> None:
    """Ask for what the tenant's object (no pod) names by now, and let go of what it no longer does."""
    if kind.references is None:
        return
    user = _user(kind.resource.plural, key)
    before = state.usage.of(user)
    now: References = ()
    if source is None:
        state.usage.drop(user)
    else:
        now = kind.references(decode_object(source.raw), state.tenant)
        state.usage.record(user, now)
    for reference in set(now) - set(before):
        used = ObjectKey(key.namespace, reference.name)
        state.super.down.add(state.request(reference.kind, used))
    for reference in set(before) - set(now):
        used = ObjectKey(key.namespace, reference.name)
        state.super.down.add_after(state.request(reference.kind, used), UNUSED_SECONDS)


def all_known(state: TenantState) -> bool:
    """Each object that may use others has been looked at since the start."""
    if not all(state.usage.knows(pod) for pod in state.pods.keys()):
        return False
    return all(
        state.usage.knows(_user(resource.plural, key))
        for resource, _ in _users(state)
        for key in state.sources[resource.plural].keys()
    )


async def look(state: TenantState, plural: str, key: ObjectKey) -> bool:
    """Whether something names the object though nobody knows of it.

    Of an object whose last user nobody saw go, a cache that knows of none is no proof. Raises ApiError,
    Unreachable.
    """
    async for page in state.client.pages(PODS, namespace=key.namespace):
        for item in page.items or ():
            if _names(pod_volumes.references(decode_object(item)), plural, key):
                state.pods.put(bytes(item))  # if it is news, the pod itself is looked at
                return True
    for resource, references_of in _users(state):
        async for page in state.client.pages(resource, namespace=key.namespace):
            for item in page.items or ():
                found = decode_object(item)
                if _names(references_of(found, state.tenant), plural, key):
                    state.sources[resource.plural].put(bytes(item))
                    user = ObjectKey(key.namespace, found["metadata"]["name"])
                    state.super.down.add(state.request(resource.plural, user))
                    return True
    return False


def _names(references: References, plural: str, key: ObjectKey) -> bool:
    return any((found.kind, found.name) == (plural, key.name) for found in references)


def _users(state: TenantState) -> Iterator[tuple[Resource, ReferencesOf]]:
    """The kinds beside pods whose objects use others."""
    for kind in list(state.super.downward.values()):
        if kind.references is not None and kind.enabled(state.tenant):
            yield kind.resource, kind.references


def _user(plural: str, key: ObjectKey) -> ObjectKey:
    """No pod has such a name."""
    return ObjectKey(key.namespace, f"{plural}/{key.name}")
