"""What mirrors count for against the quotas of their tenants, as the super cluster shows them."""

from typing import TYPE_CHECKING

from kube.objects import ObjectKey, decode_object
from kube.resources import RESOURCE_CLAIMS
from syncer.admission.ledger import Item
from syncer.admission.object_usage import object_usage
from syncer.entries import Entry

if TYPE_CHECKING:
    from syncer.super_state import SuperState


def count(
    state: "SuperState", tenant: str, plural: str, key: ObjectKey, mirror: Entry | None
) -> None:
    """Let a mirror count against the quota of its tenant, if it has one, or no longer (None)."""
    if tenant not in state.admission.ledgers:
        return
    usage = None
    if mirror is not None:
        shown = decode_object(mirror.raw) if mirror.raw else None
        extended = state.admission.extended_resources
        usage = object_usage(state.downward[plural].resource, shown, extended)
    state.admission.mirror(tenant, Item(plural, key), usage)


def count_claims(state: "SuperState") -> None:
    """The device classes are others, and so is what their claims count for."""
    state.admission.extended_resources = state.offers.extended_resources
    for key, mirror in state.mirrors[RESOURCE_CLAIMS.plural].items():
        if mirror.tenant in state.tenants:
            count(state, mirror.tenant, RESOURCE_CLAIMS.plural, key, mirror)
