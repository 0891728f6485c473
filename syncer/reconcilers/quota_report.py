"""Tells what is used of a tenant's quota: to metrics, and to the tenant in its own API server."""

from kube.client import Patch
from kube.errors import Conflict, Forbidden, Invalid, NotFound
from kube.objects import ObjectKey, encode
from kube.quantities import NANOS
from kube.resources import CONFIG_MAPS
from syncer import metrics
from syncer.admission.figures import NAMESPACE, Figures, config_map, figures
from syncer.tenant_state import TenantState
from vcluster import api

_KEY = ObjectKey(NAMESPACE, api.QUOTA_CONFIG_MAP)


def figures_of(state: TenantState) -> Figures | None:
    """None: the tenant has no quota, or what it uses is not known yet."""
    ledger = state.super.admission.ledgers.get(state.tenant.key)
    return figures(ledger) if ledger is not None and ledger.known else None


async def publish(state: TenantState, told: Figures | None) -> None:
    """Write the tenant's config map where it has changed. Raises ApiError, Unreachable."""
    if told is None:
        entry = state.sources[CONFIG_MAPS.plural].get(_KEY)
        if entry is not None and state.tenant.key not in state.super.admission.ledgers:
            await _remove(state, entry.uid)
    elif state.quota_told != told:
        try:
            await state.client.patch(CONFIG_MAPS, _KEY, Patch.APPLY, encode(config_map(told)))
        except (NotFound, Forbidden, Invalid):
            pass  # the tenant's own doing; it comes again with the next change
        state.quota_told = told


async def _remove(state: TenantState, uid: str) -> None:
    try:
        await state.client.delete(CONFIG_MAPS, _KEY, uid=uid)
    except (NotFound, Conflict, Forbidden):
        pass


def measure(state: TenantState) -> None:
    """Bring the metrics up to date."""
    admission, tenant = state.super.admission, state.tenant.key
    if (ledger := admission.ledgers.get(tenant)) is not None:
        for key, amount in ledger.hard.items():
            metrics.QUOTA_HARD.labels(tenant, key).set(amount / NANOS)
            metrics.QUOTA_USED.labels(tenant, key).set(ledger.used.get(key, 0) / NANOS)
    waiting = admission.waiting(tenant)
    for reason in waiting.keys() | state.reasons:
        metrics.HELD.labels(tenant, reason).set(waiting.get(reason, 0))
    state.reasons |= waiting.keys()
