"""What the egress proxy can be told: read once from the environment, at the edge."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from egress_proxy.destinations import Network
from vcluster import api, environment

PREFIX = "EGRESS_PROXY_"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The environment variables EGRESS_PROXY_<NAME>; an unknown one is refused."""

    super_kubeconfig: str = ""
    """The super cluster's kubeconfig file; empty: the service account of the pod we run in."""
    tenants_directory: str = ""
    """The folder that holds a folder for each tenant, named by its key: its API server's socket is put
    there."""
    allowed_cidrs: str = ""
    """Ranges outside the cluster that tenants' webhooks may be in, comma separated."""
    denied_cidrs: str = ""
    """Ranges that nothing is connected to but node agents, whatever else is said of them, comma separated."""
    node_agent_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = api.NODE_AGENT_PORT
    """Where the node agents are, at the nodes' own addresses, as the syncers are told too; a node's
    annotation may say otherwise."""
    connections: int = 512
    """At once, of one tenant."""
    health_address: str = "127.0.0.1"
    health_port: int = 0
    """Where /healthz, /readyz and /metrics are served; 0 chooses a free port."""
    port_file: str = ""
    """Where the chosen health port is written, if given."""
    log_level: str = "info"

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "Settings":
        """Raises msgspec.ValidationError, naming the variable and what would be right."""
        settings = environment.settings(cls, PREFIX, variables)
        if not settings.tenants_directory:
            raise msgspec.ValidationError(f"{PREFIX}TENANTS_DIRECTORY must name a folder")
        for name in ("allowed_cidrs", "denied_cidrs"):
            try:
                _networks(getattr(settings, name))
            except ValueError as error:
                raise msgspec.ValidationError(
                    f"{PREFIX}{name.upper()} must be ranges such as 192.0.2.0/24: {error}"
                ) from error
        return settings

    @property
    def tenants(self) -> Path:
        """The folder of the tenants' folders."""
        return Path(self.tenants_directory)

    @property
    def allowed(self) -> tuple[Network, ...]:
        """The single ranges of ``allowed_cidrs``."""
        return _networks(self.allowed_cidrs)

    @property
    def denied(self) -> tuple[Network, ...]:
        """The single ranges of ``denied_cidrs``."""
        return _networks(self.denied_cidrs)


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(cidr) for cidr in text.split(",") if cidr)
