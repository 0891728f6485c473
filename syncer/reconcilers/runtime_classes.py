"""RuntimeClasses of a tenant's own: known before a pod goes down, and what the tenant is told of them."""

from kube.errors import NotFound
from kube.objects import Object, ObjectKey
from kube.resources import PODS, RUNTIME_CLASSES
from syncer.kinds.runtime_class import FIELD, not_offered
from syncer.reconcilers.messages import tell
from syncer.tenant_state import TenantState


async def know_class(state: TenantState, pod: Object) -> None:
    """Look for the class that the pod names, if our watch does not have it.

    The tenant's API server had it when it let the pod in, so the watch is late, or the class has gone.
    """
    name = class_of(pod)
    if not name or state.tenant.runtime_class or state.runtime_handler(name) is not None:
        return
    try:
        found = await state.client.get(RUNTIME_CLASSES, ObjectKey("", name))
    except NotFound:
        return
    state.copies[RUNTIME_CLASSES.plural].put(found)


async def tell_not_offered(state: TenantState, key: ObjectKey, pod: Object, handler: str) -> None:
    """The super pod waits for a handler that nobody offers: the tenant is told aloud which ones are."""
    if handler:
        said = not_offered(class_of(pod), handler, state.super.offers)
        message = f"{FIELD}: {said}; the pod waits on its node and does not run"
        await tell(state, PODS, key, pod["metadata"]["uid"], "NotOffered", message)


def class_of(pod: Object) -> str:
    """The RuntimeClass that a tenant's pod names; empty: none."""
    return str(pod["spec"].get("runtimeClassName") or "")
