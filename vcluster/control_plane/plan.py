"""All that the components of one tenant's control plane are rendered from."""

from collections.abc import Mapping
from dataclasses import dataclass

from vcluster import api
from vcluster.control_plane.credentials import Credentials
from vcluster.datastore.limits import Limits
from vcluster.pki import certificates
from vcluster.pki.authority import KeyPair
from vcluster.provisioners.workload import Placement

KUBE_APISERVER = "kube-apiserver"
KUBE_CONTROLLER_MANAGER = "kube-controller-manager"

FEATURE_GATES = "GenericWorkload=true"
"""Beyond Kubernetes' defaults: PodGroups, with which a tenant says that pods belong together."""
NODE_AGENT_AUTHORITY = "node-agent-ca"

GARBAGE_COLLECTION = {"GOGC": "30"}
"""A third less memory for one percent of a core (measured; docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A tenant's control plane, decided but not yet rendered."""

    key: str
    name: str
    service_cidr: str
    placement: Placement
    credentials: Credentials
    etcd_endpoints: str
    etcd_authority: bytes
    limits: Limits
    """How much of the datastore it may fill."""
    node_agent_authority: bytes = b""
    """Signs the node agents' serving certificates; empty: there are no node agents."""
    egress_proxy: bool = False
    """The API server is connected to webhooks, extension API servers, pods and nodes by the egress
    proxy, which listens in the placement's directory; else it connects to whatever it is told."""

    @property
    def server(self) -> str:
        """The URL of the tenant's API server."""
        return f"https://{self.placement.address}:{self.placement.ports[KUBE_APISERVER]}"

    @property
    def dns_address(self) -> str:
        """The tenant's address of ``kube-system/kube-dns``."""
        return api.service_address(self.service_cidr, api.DNS_INDEX)

    @property
    def kubernetes_address(self) -> str:
        """The tenant's address of ``default/kubernetes``."""
        return api.service_address(self.service_cidr, 1)


def certificate_file(name: str) -> str:
    """Where a certificate (of the service-account key: the public key) is placed."""
    return f"pki/{name}.crt"


def key_file(name: str) -> str:
    """Where a private key is placed."""
    return f"pki/{name}.key"


def pair_files(credentials: Credentials, *names: str) -> dict[str, bytes]:
    """The files of whole key pairs."""
    content: dict[str, bytes] = {}
    for name in names:
        content[certificate_file(name)] = credentials[name].certificate
        content[key_file(name)] = credentials[name].key
    return content


def pairs_in(content: Mapping[str, bytes]) -> Credentials:
    """The key pairs among such files; the reverse of ``pair_files``."""
    names = {path[4:-4] for path in content if path.startswith("pki/") and path.endswith(".key")}
    return {
        name: KeyPair(content[certificate_file(name)], content[key_file(name)])
        for name in names
        if certificate_file(name) in content
    }


def backup_files(credentials: Credentials) -> dict[str, bytes]:
    """What must survive the loss of a Secret although no program reads all of it."""
    kept = (*certificates.OWN_AUTHORITIES, certificates.SERVICE_ACCOUNT_KEY)
    return pair_files(credentials, *kept, certificates.OPERATOR_CLIENT)
