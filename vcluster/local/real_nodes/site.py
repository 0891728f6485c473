"""Where real nodes are: names, folders and addresses, all following from the state directory. Pure."""

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from vcluster import api

LABEL = "local.virtualcluster.dev/real-node"
"""On every real node that `vc up` made; only those are removed when fewer are wanted."""

MOST_NODES = 16
BLOCKS = tuple(IPv4Network("10.208.0.0/12").subnets(new_prefix=16))
"""Each local super cluster of a machine takes one block. No other range of `vc up` overlaps them."""

AGENT_PORT = api.KUBELET_PORT
"""Of node agents, beside their usual port: tenants' tools find them where they look for kubelets."""
KUBELET_PORT = 10450
"""Of kubelets, since 10250 is the agents'. Nothing else of Kubernetes is there (10248 to 10260), and it is no
node port and none that the kernel chooses by itself."""

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
"""Inside a node: its usual place, where tools look for it."""

HIDDEN = ("/run", "/var/lib", "/var/log", "/proc", "/sys", "/dev")
"""What a node has of its own: nothing of the host below these folders can be seen in it."""


@dataclass(frozen=True, slots=True)
class Node:
    """One real node."""

    number: int
    site: "Site"

    @property
    def name(self) -> str:
        """Its name in the super cluster, its host name, and the first part of its programs' names."""
        return f"real-{self.number}"

    @property
    def directory(self) -> Path:
        """All its files: containerd's, the kubelet's, the pods' logs."""
        return self.site.directory / self.name

    @property
    def holder(self) -> Path:
        """The file that names its PID 1 while it is up."""
        return self.directory / "holder.json"

    @property
    def cgroup(self) -> str:
        """Its cgroup in every hierarchy of the host; the root of what the node sees."""
        return f"{self.site.mark}/{self.name}"

    @property
    def address(self) -> IPv4Address:
        """Its InternalIP."""
        return self.site.link[2 + self.number]

    @property
    def pod_range(self) -> IPv4Network:
        """The addresses of its pods."""
        return IPv4Network((self.site.block[256 * self.number], 24))


@dataclass(frozen=True, slots=True)
class Site:
    """The real nodes of one state directory, and the network that joins them."""

    state: Path
    block_number: int

    @property
    def directory(self) -> Path:
        """Where everything of the nodes is kept."""
        return self.state / "real-nodes"

    @property
    def images(self) -> Path:
        """The image archives that every node gets."""
        return self.directory / "images"

    @property
    def volumes(self) -> Path:
        """The data of the tenants' claims, where every node sees it; it outlives the nodes."""
        return self.state / "volumes"

    @property
    def router_holder(self) -> Path:
        """The file that names the process that holds the router's namespace while it is up."""
        return self.directory / "router.json"

    @property
    def mark(self) -> str:
        """The name of the host's network interface and of the cgroups; short and of this site only."""
        return f"vc-{sha256(str(self.state).encode()).hexdigest()[:8]}"

    @property
    def block(self) -> IPv4Network:
        """All addresses of this site."""
        return BLOCKS[self.block_number]

    @property
    def pod_range(self) -> IPv4Network:
        """The addresses of all pods."""
        return IPv4Network((self.block[0], 17))

    @property
    def link(self) -> IPv4Network:
        """The network of the nodes themselves; the router has its first address."""
        return IPv4Network((self.block[128 * 256], 24))

    @property
    def uplink(self) -> IPv4Network:
        """Between the router (first address) and the host (second)."""
        return IPv4Network((self.block[129 * 256], 30))

    @property
    def gateway(self) -> IPv4Address:
        """Where nodes and pods reach the API servers, at the ports that these have on loopback."""
        return self.link[1]

    def nodes(self, count: int) -> list[Node]:
        """The first nodes."""
        return [Node(number, self) for number in range(count)]


def free_block(taken: list[IPv4Network]) -> int:
    """The number of the first block that overlaps nothing. Raises ValueError if there is none."""
    for number, block in enumerate(BLOCKS):
        if not any(block.overlaps(other) for other in taken):
            return number
    msg = (
        f"all of {BLOCKS[0].network_address} to {BLOCKS[-1].broadcast_address} is routed elsewhere"
    )
    raise ValueError(msg)


def is_hidden(path: Path) -> str:
    """The folder that hides a path of the host from the nodes; empty if none does."""
    return next((folder for folder in HIDDEN if path.is_relative_to(folder)), "")
