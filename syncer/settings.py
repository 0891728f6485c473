"""What the syncer can be told: read once from the environment, at the edge."""

import re
import socket
from collections.abc import Mapping
from typing import Annotated

import msgspec

from vcluster import api, environment

PREFIX = "SYNCER_"
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


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
    tenant_inflight: int = 3
    """Reconciliations at once for one tenant, in each direction."""
    super_inflight: Annotated[int, msgspec.Meta(ge=1)] = 32
    """Requests to the super cluster at once on behalf of tenants, who take turns, while it answers quickly;
    fewer when it does not (runtime/allowance.py). Streams are not counted."""
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
    node_agent_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = api.NODE_AGENT_PORT
    """Where the node agents are, at the nodes' own addresses; a node's annotation may say otherwise."""
    hosts_image: str = ""
    """An image with sh, sed and chmod, by which /etc/hosts of pods with a subdomain gets the tenant's name of
    its namespace; empty: it keeps the super namespace's."""
    namespace: str = "virtualcluster-system"
    """Where the Leases of the syncers are, and the record of who mirrors whom."""
    member: str = ""
    """This syncer's own name among them; empty: the host's name, in a pod the pod's."""
    lease_seconds: int = 14
    """After so long without a sign of life others take over."""
    log_level: str = "info"

    def __post_init__(self) -> None:
        """Raises ValueError for values that do not go together."""
        if self.member and not NAME.fullmatch(self.member):
            msg = (
                f"{PREFIX}MEMBER is {self.member!r}, but must be a DNS subdomain: lower case letters, "
                "digits, '-' and '.'"
            )
            raise ValueError(msg)
        if re.search(r"\s", self.hosts_image):
            msg = f"{PREFIX}HOSTS_IMAGE is {self.hosts_image!r}, but must be the name of one image"
            raise ValueError(msg)
        if self.lease_seconds < (least := self.request_timeout + 2):
            msg = (
                f"{PREFIX}LEASE_SECONDS is {self.lease_seconds}, but must be at least {least:g}: "
                f"{PREFIX}REQUEST_TIMEOUT and 2 more"
            )
            raise ValueError(msg)

    @property
    def reconciliation_timeout(self) -> float:
        """Seconds for one reconciliation, which may send several requests."""
        return self.request_timeout * 4

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "Settings":
        """Raises msgspec.ValidationError, naming the variable and what would be right."""
        return environment.settings(cls, PREFIX, variables)

    @property
    def denied(self) -> list[str]:
        """The single ranges of ``denied_cidrs``."""
        return [cidr for cidr in self.denied_cidrs.split(",") if cidr]

    @property
    def pods(self) -> list[str]:
        """The single ranges of ``pod_cidrs``."""
        return [cidr for cidr in self.pod_cidrs.split(",") if cidr]


def host_name() -> str:
    """The host's name, as an object may be called."""
    name = re.sub(r"[^-a-z0-9.]", "-", socket.gethostname().lower()).strip("-.")
    return name or "syncer"
