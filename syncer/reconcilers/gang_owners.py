"""Finds the gang of a pod: reads the owners that may make one, each at most once in a while."""

import time

from kube.errors import Forbidden, NotFound
from kube.objects import Object, ObjectKey, decode_object
from kube.resources import Resource
from syncer.admission import gangs
from syncer.admission.gangs import OWNERS, Gang, Owner
from syncer.tenant_state import TenantState

FRESH_SECONDS = 5.0
"""How long an owner is not read again: the pods of a gang come together."""
REMEMBERED = 1000
"""How many owners of one tenant are remembered at most."""


async def gang_of(state: TenantState, pod: Object, *, scarce: bool) -> Gang | None:
    """The gang that the pod belongs to. Raises Refused, ApiError, Unreachable.

    ``scarce``: see ``worth_asking``.
    """
    if gang := gangs.annotated(pod):
        return gang
    namespace = pod["metadata"]["namespace"]
    if name := gangs.pod_group(pod):
        group = await _read(state, gangs.POD_GROUPS, ObjectKey(namespace, name), "")
        size = gangs.pod_group_size(group) if group else 0
        return Gang(f"{namespace}/{name}", size) if size else None
    owner = gangs.controller(pod)
    if owner is None or not gangs.worth_asking(pod, owner, scarce=scarce):
        return None
    return await _of_owner(state, namespace, owner)


async def _of_owner(state: TenantState, namespace: str, owner: Owner) -> Gang | None:
    """The gang of the highest owner that makes one."""
    known = state.owner_gangs.get(owner.uid)
    if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
        return known[1]
    kind = OWNERS[owner.group, owner.kind]
    found = await _read(state, owner.resource, ObjectKey(namespace, owner.name), owner.uid)
    gang = None
    if found is not None:
        above = gangs.controller(found)
        gang = await _of_owner(state, namespace, above) if above else None
        if gang is None and (size := kind.size(found)) > 1:
            gang = Gang(owner.uid, size)
    state.owner_gangs.pop(owner.uid, None)
    state.owner_gangs[owner.uid] = time.monotonic(), gang
    if len(state.owner_gangs) > REMEMBERED:
        del state.owner_gangs[next(iter(state.owner_gangs))]
    return gang


async def _read(state: TenantState, resource: Resource, key: ObjectKey, uid: str) -> Object | None:
    """None: it is gone, is another one, or may not be read; then its pods go down one by one."""
    try:
        found = decode_object(await state.client.get(resource, key))
    except (Forbidden, NotFound):
        return None
    return found if not uid or found["metadata"]["uid"] == uid else None
