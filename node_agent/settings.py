"""What the node agent can be told: read once from the environment, at the edge."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from vcluster import api, environment

PREFIX = "NODE_AGENT_"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The environment variables NODE_AGENT_<NAME>; an unknown one is refused."""

    super_kubeconfig: str = ""
    """The super cluster's kubeconfig file; empty: the service account of the pod we run in. The kubelet
    is asked as the same identity."""
    node: str = ""
    """The node whose kubelet we stand before; empty: all simulated nodes, which have no kubelet."""
    address: str = "127.0.0.1"
    port: int = api.NODE_AGENT_PORT
    """Where tenants' API servers find us; 0 chooses a free port."""
    second_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    """Where the same is served once more: the kubelets' usual 10250, say, on nodes whose kubelets have
    been moved; 0 chooses a free port."""
    certificate: str = ""
    key: str = ""
    """The files of our serving certificate and its key, PEM; read again when they change."""
    kubelet: str = "127.0.0.1:10250"
    """Where the kubelet listens."""
    kubelet_ca: str = ""
    """The file with the authorities of the kubelet's serving certificate, PEM."""
    kubelet_name: str = ""
    """The name in the kubelet's serving certificate; empty: the node's."""
    connections: int = 4096
    """At once, of all tenants together."""
    tenant_connections: int = 512
    """At once, of one tenant."""
    stalled_seconds: float = 60.0
    """A peer that takes nothing of what is sent to it for so long is dropped."""
    idle_seconds: float = 120.0
    """A client that has been answered is waited for so long. API servers close their connections after
    90 s (Go's http.DefaultTransport); were we sooner, a request could meet a closed connection."""
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
        required = ["certificate", "key"] + (["kubelet_ca"] if settings.node else [])
        if missing := [name for name in required if not getattr(settings, name)]:
            names = ", ".join(f"{PREFIX}{name.upper()}" for name in missing)
            raise msgspec.ValidationError(f"{names} must name a file")
        host, _, port = settings.kubelet.rpartition(":")
        if not (host and port.isdecimal()):
            raise msgspec.ValidationError(
                f"{PREFIX}KUBELET is {settings.kubelet!r}, but must be host:port"
            )
        settings._check_ports()
        return settings

    @property
    def ports(self) -> tuple[int, ...]:
        """Where we listen, the first one first."""
        return (self.port,) if self.second_port is None else (self.port, self.second_port)

    @property
    def kubelet_endpoint(self) -> tuple[str, int]:
        """Host and port of the kubelet."""
        host, _, port = self.kubelet.rpartition(":")
        return host.strip("[]"), int(port)

    def _check_ports(self) -> None:
        """A port is one program's; else we could come to ask ourselves."""
        if self.port and self.port == self.second_port:
            raise msgspec.ValidationError(
                f"{PREFIX}SECOND_PORT is {self.port}, as {PREFIX}PORT is, but must be another port"
            )
        if self.node and (kubelet := self.kubelet_endpoint[1]) in self.ports:
            raise msgspec.ValidationError(
                f"{PREFIX}KUBELET names port {kubelet}, but that is ours: move the kubelet (`port` of "
                "its configuration), and name its new port"
            )
