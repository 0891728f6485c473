"""What objects other than pods use of the kinds that go down on demand: certificates of ingresses."""

from kube.objects import ObjectKey, decode_object
from syncer.entries import Entry
from syncer.kinds.mirror import DownwardKind
from syncer.tenant_state import UNUSED_SECONDS, TenantState
from syncer.usage import References


def record(state: TenantState, kind: DownwardKind, key: ObjectKey, source: Entry | None) -> None:
    """Ask for what the tenant's object names by now, and let go of what it no longer does."""
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
        state.usage.knows(_user(plural, key))
        for plural, kind in state.super.downward.items()
        if kind.references is not None and kind.enabled(state.tenant)
        for key in state.sources[plural].keys()
    )


def _user(plural: str, key: ObjectKey) -> ObjectKey:
    """No pod has such a name."""
    return ObjectKey(key.namespace, f"{plural}/{key.name}")
