"""Pods that their tenant has bound itself, as a scheduler of its own does: they run there or nowhere.

The super pod was made for any node. It is removed and made anew for the one that the tenant has chosen, as
that of a pod which names its node from the beginning (docs/decisions/0018).
"""

from kube.errors import Conflict, NotFound
from kube.objects import ObjectKey
from kube.resources import PODS
from syncer.entries import SuperPod, TenantPod
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState


def is_elsewhere(source: TenantPod, mirror: SuperPod) -> bool:
    """The super pod is, or may come to be, on another node than the tenant's pod is bound to."""
    if not source.node or source.deleting or source.finished or mirror.deleting:
        return False
    return source.node != (mirror.node or mirror.asked)


def awaits_another(state: TenantState, key: ObjectKey, source: TenantPod) -> bool:
    """It was bound by its tenant, and its super pod for that node is still to be made."""
    return state.anew.expects(key, source.uid) and not (source.deleting or source.finished)


async def begin_anew(
    super_state: SuperState, state: TenantState, key: ObjectKey, uid: str, mirror: SuperPod
) -> None:
    """Remove the super pod; its end is none of the tenant's pod, whose UID is ``uid``.

    Should we end before there is another, the pod counts as vanished. Raises Conflict if the super pod is
    bound meanwhile: then it has to be looked at again.
    """
    state.anew.expect(key, uid)
    state.anew.remove(mirror.uid, placed=True)
    state.newest.pop(key, None)  # maybe of before it was bound
    version = mirror.version if not mirror.node else None
    try:
        await super_state.client.delete(
            PODS, state.mirror_key(PODS.plural, key), uid=mirror.uid, version=version
        )
    except NotFound:
        pass  # its DELETED event is on the way
    except Conflict:
        state.anew.keep(mirror.uid)
        raise
