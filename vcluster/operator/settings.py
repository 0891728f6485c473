"""What the operator can be told: read once from the environment, at the edge."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from vcluster import environment

PREFIX = "OPERATOR_"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The environment variables OPERATOR_<NAME>; an unknown one is refused."""

    super_kubeconfig: str = ""
    """The super cluster's kubeconfig file; empty: the service account of the pod we run in."""
    state_directory: str = ""
    """Where the process provisioner keeps a folder per tenant (keys 0600) and the supervisor lives."""
    binaries_directory: str = ""
    """A folder that holds kube-apiserver, kube-controller-manager and etcdctl."""
    etcd_endpoints: str = ""
    """The shared datastore, comma separated URLs."""
    etcd_ca_directory: str = ""
    """Holds ca.crt, ca.key (signs the tenants' etcd certificates), root.crt and root.key (user root)."""
    etcd_history_seconds: Annotated[float, msgspec.Meta(ge=1)] = 600.0
    """How long etcd may keep what was overwritten: twice a periodic ``--auto-compaction-retention`` of
    up to an hour. What a tenant writes is counted for so long."""
    node_agent_ca: str = ""
    """The file with the authority of the node agents' serving certificates, PEM, for the tenants' API
    servers; empty: there are no node agents, and so no logs and exec."""
    egress_proxy: bool = False
    """Tenants' API servers connect to webhooks, pods and nodes through the egress proxy, which has to
    serve the tenants' folders below the state directory; else to whatever a tenant tells them."""
    service_pool: str = "10.112.0.0/12"
    """The provider's pool; each tenant owns one /24 of it."""
    gateway_address: str = ""
    """Where pods reach the tenants' API servers, at the ports that these have on their own address;
    empty: nowhere, and ``default/kubernetes`` has no endpoints."""
    resync_seconds: float = 15.0
    """Between two looks for drift at one tenant."""
    address: str = "127.0.0.1"
    port: int = 0
    """Where /healthz is served; 0 chooses a free port."""
    port_file: str = ""
    """Where the chosen port is written, if given."""
    log_level: str = "info"

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "Settings":
        """Raises msgspec.ValidationError, naming the variable and what would be right."""
        return environment.settings(cls, PREFIX, variables)
