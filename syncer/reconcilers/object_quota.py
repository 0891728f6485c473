"""Room for an object (no pod) in its tenant's quota while its mirror is being written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kube.errors import ApiError
from kube.objects import Object, ObjectKey
from kube.resources import Resource
from syncer.admission.ledger import Item, describe
from syncer.admission.object_usage import object_usage
from syncer.entries import Entry
from syncer.reconcilers.messages import tell
from syncer.tenant_state import TenantState


class OverQuota(Exception):
    """The tenant's quota has no room for the object; it is asked for again when there is."""


@asynccontextmanager
async def within_quota(
    state: TenantState,
    resource: Resource,
    key: ObjectKey,
    mirror_key: ObjectKey,
    source: Entry,
    wanted: Object,
) -> AsyncIterator[None]:
    """Reserve what the mirror will count for. Raises OverQuota, when the tenant has been told."""
    admission, tenant = state.super.admission, state.tenant.key
    if tenant not in admission.ledgers:
        yield
        return
    item = Item(resource.plural, mirror_key)
    usage = object_usage(resource, wanted, admission.extended_resources)
    short = admission.claim(state.request(resource.plural, key), item, usage)
    if short is not None:
        message = f"waits for quota: {describe(short)}"
        await tell(state, resource, key, source.uid, "QuotaExceeded", message)
        raise OverQuota
    try:
        yield
    except ApiError as error:
        if error.status < 500:
            admission.settle(tenant, item)
        raise  # else it may have been done: what is reserved stays so until that is known
    admission.settle(tenant, item)
