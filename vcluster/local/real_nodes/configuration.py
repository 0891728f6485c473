"""The files that the programs of real nodes read: rendered from templates, with their credentials."""

import resource
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import jinja2

from vcluster.assets import templates_directory
from vcluster.control_plane.kubeconfig import kubeconfig
from vcluster.local import credentials
from vcluster.local.credentials import CLUSTER, IDENTITIES, NODE_AGENT, Certificate
from vcluster.local.real_nodes.images import PAUSE
from vcluster.local.real_nodes.site import CONTAINERD_SOCKET, KUBELET_PORT, Node
from vcluster.local.state import State
from vcluster.pki.authority import Subject, Usage
from vcluster.supervision import host

API_SERVER_NAME = "kubernetes"
"""A name in the API server's certificate: the gateway's address is none of its own."""
NODE_AGENT_PART = "node-agent"
CLUSTER_DNS = "10.96.0.10"
RESERVED_MEMORY = "2Gi"
"""What pods must leave to the rest of the machine."""


def write(state: State, nodes: Sequence[Node], port: int, plugins: Path) -> dict[str, str]:
    """Write all files of the nodes; by program, a digest of those that it reads when it starts.

    ``port`` is the super API server's, ``plugins`` the folder of the CNI plugins.
    """
    digests = {}
    for node in nodes:
        folder = node.directory / "configuration"
        host.private_directory(folder / "cni")
        values = _values(state, node, plugins)
        _render(folder / "containerd.toml", **values)
        _render(folder / "cni" / "pods.conflist", **values)
        _render(folder / "resolv.conf", **values)
        files = [folder / "containerd.toml", folder / "cni" / "pods.conflist"]
        digests[f"{node.name}-containerd"] = _digest(files)
        for part, subject in (
            ("kubelet", Subject(f"system:node:{node.name}", ("system:nodes",))),
            ("kube-proxy", Subject("system:kube-proxy")),
        ):
            _render(folder / f"{part}.yaml", **values)
            _write_kubeconfig(state, node, part, subject, port)
            files = [folder / f"{part}.yaml", folder / f"{part}.kubeconfig"]
            if part == "kubelet":
                files.append(_serving(state, node).with_suffix(".crt"))
            digests[f"{node.name}-{part}"] = _digest(files)
        _write_kubeconfig(state, node, NODE_AGENT_PART, IDENTITIES[NODE_AGENT_PART], port)
        agent_serving(state, node)  # read again when it changes
        files = [folder / f"{NODE_AGENT_PART}.kubeconfig"]
        digests[f"{node.name}-{NODE_AGENT_PART}"] = _digest(files)
    return digests


def agent_serving(state: State, node: Node) -> Path:
    """The stem of the node agent's serving certificate, made if it is missing or old."""
    stem = f"node-agent/{node.name}-{node.address}".replace(".", "-")
    hosts = (node.name, str(node.address))
    wanted = Certificate(stem, NODE_AGENT, Subject(NODE_AGENT_PART), Usage.SERVER, hosts)
    credentials.issue(state, wanted)
    return state.pki / stem


def _digest(files: Sequence[Path]) -> str:
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _values(state: State, node: Node, plugins: Path) -> dict[str, object]:
    pair = _serving(state, node)
    folder = node.directory / "configuration"
    return {
        "directory": str(node.directory),
        "socket": CONTAINERD_SOCKET,
        "pause": PAUSE,
        "plugins": str(plugins),
        "node": node.name,
        "pod_range": str(node.site.pod_range),
        "node_pods": str(node.pod_range),
        "dns": CLUSTER_DNS,
        "gateway": str(node.site.gateway),
        "resolv_conf": str(folder / "resolv.conf"),
        "address": str(node.address),
        "kubelet_port": KUBELET_PORT,
        "authority": str(state.pki / f"{CLUSTER}.crt"),
        "certificate": str(pair.with_suffix(".crt")),
        "key": str(pair.with_suffix(".key")),
        "kubeconfig": str(folder / "kube-proxy.kubeconfig"),
        "reserved_memory": RESERVED_MEMORY,
        # A higher one is refused without CAP_SYS_RESOURCE.
        "open_files": min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1_000_000),
    }


def _serving(state: State, node: Node) -> Path:
    """The stem of the kubelet's serving certificate, made if it is missing or old."""
    # The address is part of the name: another one needs another certificate.
    stem = f"nodes/{node.name}-{node.address}".replace(".", "-")
    hosts = (node.name, str(node.address))
    subject = Subject(f"system:node:{node.name}", ("system:nodes",))
    credentials.issue(state, Certificate(stem, CLUSTER, subject, Usage.SERVER, hosts))
    return state.pki / stem


def _write_kubeconfig(state: State, node: Node, part: str, subject: Subject, port: int) -> None:
    stem = f"nodes/{node.name}-{part}"
    pair = credentials.issue(state, Certificate(stem, CLUSTER, subject, Usage.CLIENT))
    text = kubeconfig(
        "super",
        f"https://{node.site.gateway}:{port}",
        (state.pki / f"{CLUSTER}.crt").read_bytes(),
        part,
        pair,
        API_SERVER_NAME,
    )
    host.write_private(node.directory / "configuration" / f"{part}.kubeconfig", text.decode())


def _render(target: Path, **values: object) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_directory() / "real-node"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    text = environment.get_template(f"{target.name}.j2").render(values)
    host.write_private(target, text)
