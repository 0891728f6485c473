"""PodDisruptionBudgets: what the tenant's budget comes to, as a number of pods, holds below."""

from kube.objects import Object
from kube.resources import POD_DISRUPTION_BUDGETS
from syncer.kinds.mirror import DownwardKind, body, object_patch, super_metadata, with_digest
from vcluster.api import Tenant

SYNC_FAILED = "SyncFailed"


def to_super(budget: Object, tenant: Tenant) -> Object:
    """The super budget for a tenant's.

    Shares, and pods that may be missing, are counted from the pods' owners. Those are in the tenant,
    whose own disruption controller does the counting: the super cluster is told the number. Until
    there is one the super cluster finds no owners, and lets no pod go.
    """
    wanted: Object = {
        "apiVersion": POD_DISRUPTION_BUDGETS.api_version,
        "kind": POD_DISRUPTION_BUDGETS.kind,
        "metadata": super_metadata(budget, tenant),
        **body(budget),
    }
    spec: Object = budget.get("spec") or {}
    counts = isinstance(spec.get("minAvailable"), int)
    if not counts and (healthy := _desired_healthy(budget)) is not None:
        others = {key: value for key, value in spec.items() if key != "maxUnavailable"}
        wanted["spec"] = others | {"minAvailable": healthy}
    return with_digest(wanted)


def _desired_healthy(budget: Object) -> int | None:
    """How many pods must stay, as the tenant's controller counts; None: it has not, or cannot."""
    status: Object = budget.get("status") or {}
    failed = any(
        condition.get("reason") == SYNC_FAILED for condition in status.get("conditions") or ()
    )
    observed = status.get("observedGeneration") == budget["metadata"].get("generation")
    if failed or not observed or not status.get("expectedPods"):
        return None
    return int(status.get("desiredHealthy", 0))


POD_DISRUPTION_BUDGET = DownwardKind(
    resource=POD_DISRUPTION_BUDGETS, to_super=to_super, patch=object_patch
)
