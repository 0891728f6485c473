"""What the syncer can be told: read once from the environment, at the edge."""

from collections.abc import Mapping

import msgspec

PREFIX = "SYNCER_"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The environment variables SYNCER_<NAME>; an unknown one is refused."""

    super_kubeconfig: str = ""
    """The super cluster's kubeconfig file; empty: the service account of the pod we run in."""
    address: str = "127.0.0.1"
    port: int = 0
    """Where /healthz, /readyz and /metrics are served; 0 chooses a free port."""
    port_file: str = ""
    """Where the chosen port is written, if given."""
    workers: int = 48
    """Reconciliations at once, in each direction."""
    tenant_inflight: int = 16
    """Reconciliations at once for one tenant, in each direction."""
    request_timeout: float = 5.0
    """Seconds for one request to an API server."""
    patrol_seconds: float = 300.0
    """Between the ends and the starts of a tenant's patrols."""
    denied_cidrs: str = ""
    """Ranges (comma separated) of the super cluster's own services, nodes and API servers: no tenant's
    endpoints may point there, and no pod may speak to them."""
    pod_cidrs: str = ""
    """The ranges (comma separated) of all pods, for the network policies that keep tenants apart."""
    gateway_address: str = ""
    """Where pods reach the tenants' API servers: to its own, a tenant's endpoints may point there."""
    log_level: str = "info"

    @property
    def reconciliation_timeout(self) -> float:
        """Seconds for one reconciliation, which may send several requests."""
        return self.request_timeout * 4

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises msgspec.ValidationError, naming the variable and what would be right."""
        values = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX)
        }
        return msgspec.convert(values, cls, strict=False)

    @property
    def denied(self) -> list[str]:
        """The single ranges of ``denied_cidrs``."""
        return [cidr for cidr in self.denied_cidrs.split(",") if cidr]

    @property
    def pods(self) -> list[str]:
        """The single ranges of ``pod_cidrs``."""
        return [cidr for cidr in self.pod_cidrs.split(",") if cidr]
