"""Every metric of the syncer, in one place. Served at /metrics.

The label ``tenant`` has as many values as there are tenants; those of a tenant that left are removed.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
_FAST = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

RECONCILIATIONS = Counter(
    "syncer_reconciliations_total",
    "Requests worked on, by direction, kind and outcome (ok, retry, timeout, error).",
    ("direction", "kind", "outcome"),
    registry=REGISTRY,
)
WAIT = Histogram(
    "syncer_queue_wait_seconds",
    "How long a request waited in its queue.",
    ("direction",),
    buckets=_FAST,
    registry=REGISTRY,
)
DELAY = Histogram(
    "syncer_delay_seconds",
    "From the arrival of a change to the end of the write that it led to.",
    ("direction", "kind"),
    buckets=_FAST,
    registry=REGISTRY,
)
TENANT_DELAY = Gauge(
    "syncer_tenant_delay_seconds",
    "The delay of the tenant's last reconciled pod, by direction.",
    ("tenant", "direction"),
    registry=REGISTRY,
)
DEPTH = Gauge(
    "syncer_queue_depth",
    "Requests that wait, by direction and tenant.",
    ("tenant", "direction"),
    registry=REGISTRY,
)
TURN_WAIT = Histogram(
    "syncer_turn_wait_seconds",
    "How long a request to the super cluster on behalf of a tenant waited for its turn.",
    buckets=_FAST,
    registry=REGISTRY,
)
TURNS = Gauge(
    "syncer_turns",
    "Requests that the super cluster is given at once on behalf of tenants.",
    registry=REGISTRY,
)
TURNS_WAITING = Gauge(
    "syncer_turns_waiting",
    "Requests to the super cluster that wait for their turn.",
    ("tenant",),
    registry=REGISTRY,
)
BREAKER = Gauge(
    "syncer_breaker_open",
    "1 while a tenant's API server does not answer and is only probed.",
    ("tenant",),
    registry=REGISTRY,
)
SYNCED = Gauge(
    "syncer_tenant_synced",
    "1 while the tenant's caches are filled and its objects are mirrored.",
    ("tenant",),
    registry=REGISTRY,
)
PODS = Gauge("syncer_tenant_pods", "Pods of the tenant.", ("tenant",), registry=REGISTRY)
QUOTA_USED = Gauge(
    "syncer_quota_used",
    "What the tenant uses of what its quota limits, in the key's own unit.",
    ("tenant", "key"),
    registry=REGISTRY,
)
QUOTA_HARD = Gauge(
    "syncer_quota_hard",
    "What the tenant's quota allows, in the key's own unit.",
    ("tenant", "key"),
    registry=REGISTRY,
)
HELD = Gauge(
    "syncer_held_pods",
    "Pods that wait for quota, for the rest of their gang or for devices, by reason.",
    ("tenant", "reason"),
    registry=REGISTRY,
)
REFUSED = Counter(
    "syncer_refused_total",
    "Things that a tenant has been told about its objects, by reason.",
    ("reason",),
    registry=REGISTRY,
)
REQUESTS = Gauge(
    "syncer_requests",
    "Requests sent to API servers since the start, by side, verb and kind.",
    ("side", "verb", "kind"),
    registry=REGISTRY,
)
REPAIRS = Counter(
    "syncer_patrol_repairs_total",
    "Differences that a patrol found and asked to be looked at.",
    ("kind",),
    registry=REGISTRY,
)

MEMBERS = Gauge(
    "syncer_members", "Syncers that live, as this one knows; itself included.", registry=REGISTRY
)
BUCKETS = Gauge(
    "syncer_buckets", "Buckets of tenants that this syncer holds, of 64.", registry=REGISTRY
)
LEASE = Gauge(
    "syncer_lease_valid",
    "1 while this syncer's Lease is renewed and it may write.",
    registry=REGISTRY,
)

BY_TENANT = (
    TENANT_DELAY,
    DEPTH,
    TURNS_WAITING,
    BREAKER,
    SYNCED,
    PODS,
    QUOTA_USED,
    QUOTA_HARD,
    HELD,
)


def forget(tenant: str) -> None:
    """Remove the series of a tenant that left."""
    for metric in BY_TENANT:
        for labels in [sample.labels for family in metric.collect() for sample in family.samples]:
            if labels.get("tenant") == tenant:
                metric.remove(*labels.values())
