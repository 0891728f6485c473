"""Every metric of the node agent, in one place."""

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry()

REQUESTS = Counter(
    "node_agent_requests", "Requests that were served.", ["kind", "outcome"], registry=REGISTRY
)
REFUSED = Counter(
    "node_agent_refused", "Requests that were refused, by status.", ["status"], registry=REGISTRY
)
BROKEN = Counter(
    "node_agent_broken", "Connections that ended otherwise than in order.", registry=REGISTRY
)
KUBELET_FAILURES = Counter(
    "node_agent_kubelet_failures", "Answers that the kubelet owes us.", registry=REGISTRY
)
BYTES = Counter("node_agent_bytes", "Bytes passed on in streams.", registry=REGISTRY)
CONNECTIONS = Gauge(
    "node_agent_connections", "Open connections of a tenant.", ["tenant"], registry=REGISTRY
)
TENANTS = Gauge("node_agent_tenants", "Tenants whose authority is known.", registry=REGISTRY)
