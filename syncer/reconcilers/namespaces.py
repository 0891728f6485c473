"""What a super namespace has to have before pods may go down to it."""

from kube.errors import AlreadyExists, Forbidden, Invalid
from kube.objects import ObjectKey, encode
from kube.resources import NAMESPACES, SERVICE_ACCOUNTS
from syncer.entries import Entry
from syncer.reconcilers.isolation import Isolation
from syncer.reconcilers.messages import tell
from syncer.super_state import SuperState
from syncer.tenant_state import Prepared, TenantState
from syncer.usage import Waiting


async def _add_service_account(super_state: SuperState, super_namespace: str) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": super_namespace},
        "automountServiceAccountToken": False,
    }
    key = ObjectKey(super_namespace, "default")
    try:
        await super_state.client.create(SERVICE_ACCOUNTS, key, encode(account))
    except AlreadyExists:
        pass


async def prepare(
    super_state: SuperState, state: TenantState, isolation: Isolation, namespace: str
) -> None:
    """Bring the super namespace, if there is one, to what pods need, and let those go on that wait for it.

    What the super cluster refuses is told on the tenant's namespace, and raised: no pod goes down to
    a namespace that is not apart from other tenants'.
    """
    source = ObjectKey("", namespace)
    key = state.mirror_key(NAMESPACES.plural, source)
    known = state.prepared.pop(namespace, Prepared("", False))
    if state.sources[NAMESPACES.plural].get(source) is None:
        state.accountless.discard(namespace)
    mirror = _mirror(super_state, state, namespace)
    if known.uid and (mirror is None or mirror.uid != known.uid):
        isolation.forget(key.name)
    if mirror is None:
        return
    ready = False
    state.prepared[namespace] = Prepared(mirror.uid, ready)
    try:
        if namespace in state.accountless:
            await _add_service_account(super_state, key.name)
            state.accountless.discard(namespace)
        await isolation.reconcile(state, namespace)
        ready = True
    except (Forbidden, Invalid) as error:
        uid = mirror.source_uid
        await tell(state, NAMESPACES, source, uid, "FailedMirror", error.message)
        raise
    finally:
        state.prepared[namespace] = Prepared(mirror.uid, ready)
    for waiting in state.usage.wake(NAMESPACES.plural, source):
        super_state.down.add(waiting)


def require_namespace(super_state: SuperState, state: TenantState, namespace: str) -> Entry:
    """The super namespace. Raises Waiting unless it is there, ours and not terminating."""
    if (mirror := _mirror(super_state, state, namespace)) is None:
        raise Waiting(NAMESPACES.plural, ObjectKey("", namespace))
    return mirror


def require_prepared(super_state: SuperState, state: TenantState, namespace: str) -> None:
    """Raise Waiting unless a pod may go down to the super namespace."""
    mirror = require_namespace(super_state, state, namespace)
    if state.prepared.get(namespace) != (mirror.uid, True):
        raise Waiting(NAMESPACES.plural, ObjectKey("", namespace))


def _mirror(super_state: SuperState, state: TenantState, namespace: str) -> Entry | None:
    source = ObjectKey("", namespace)
    mirrors = super_state.mirrors[NAMESPACES.plural]
    mirror = mirrors.get(state.mirror_key(NAMESPACES.plural, source))
    if mirror is None or not state.is_mirror(mirror, source) or mirror.deleting:
        return None
    own = state.sources[NAMESPACES.plural].get(source)
    of_predecessor = own is not None and own.uid != mirror.source_uid
    return None if of_predecessor else mirror
