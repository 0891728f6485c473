"""Every metric of the egress proxy, in one place."""

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry()

ASKED = Counter(
    "egress_proxy_asked",
    "Connections that tenants' API servers asked for.",
    ["outcome"],
    registry=REGISTRY,
)
BYTES = Counter("egress_proxy_bytes", "Bytes passed on.", registry=REGISTRY)
CONNECTIONS = Gauge(
    "egress_proxy_connections", "Open connections of a tenant.", ["tenant"], registry=REGISTRY
)
TENANTS = Gauge("egress_proxy_tenants", "Tenants that are served.", registry=REGISTRY)
