"""What runs for real nodes: one ordered list of programs. Pure: no I/O."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vcluster.local.real_nodes.site import (
    AGENT_PORT,
    CONTAINERD_SOCKET,
    KUBELET_PORT,
    LABEL,
    Node,
    Site,
)
from vcluster.supervision import Program

GROUP = "real-nodes"
"""The supervisor's group of these programs."""

PACKAGE = "vcluster.local.real_nodes"
ROUTER, GATEWAY, VOLUMES, CONTAINERD, KUBELET, KUBE_PROXY, NODE_AGENT = (
    "router",
    "gateway",
    "volumes",
    "containerd",
    "kubelet",
    "kube-proxy",
    "node-agent",
)
STOPPED_LAST = {ROUTER: 5, GATEWAY: 4, "node": 3, CONTAINERD: 2}

# A kubelet that finds no containerd ends.
WHEN_CONTAINERD_SERVES = 'until [ -S "$1" ]; do sleep 0.1; done; shift; exec "$@"'

IMPORT_PATH = str(Path(__file__).parents[3])


def entering(node: Node) -> tuple[str, ...]:
    """The first words of a command line that runs the rest in a node; needs our import path."""
    return sys.executable, "-m", f"{PACKAGE}.enter", *_place(node)


def holders(
    site: Site,
    nodes: Sequence[Node],
    logs: Path,
    port: int,
    service_ranges: Sequence[str],
    digests: Mapping[str, str],
) -> list[Program]:
    """The network, and the namespaces of each node with its containerd; ``port``: the API server's."""
    state = str(site.state), str(site.block_number)
    programs = [
        _program(ROUTER, ROUTER, logs, site, (*_module(ROUTER), *state, *service_ranges)),
        _program(GATEWAY, GATEWAY, logs, site, (*_module(GATEWAY), *state, str(port))),
    ]
    for node in nodes:
        command = (*_module("node"), *_place(node), *service_ranges)
        programs.append(_program(node.name, "node", logs, site, command))
        configuration = str(node.directory / "configuration" / "containerd.toml")
        command = (*entering(node), CONTAINERD, "--config", configuration)
        name = f"{node.name}-{CONTAINERD}"
        files = {"VC_FILES": digests[name]}
        programs.append(_program(name, CONTAINERD, logs, site, command, files))
    return programs


def storage(site: Site, logs: Path, kubeconfig: Path) -> Program:
    """Who makes volumes; the kubeconfig is its own."""
    command = (*_module(VOLUMES), str(kubeconfig), str(site.volumes))
    return _program(VOLUMES, VOLUMES, logs, site, command)


def agents(
    nodes: Sequence[Node],
    logs: Path,
    pki: Path,
    serving: Mapping[str, Path],
    digests: Mapping[str, str],
) -> list[Program]:
    """The node agent of each node: in it, at its address. ``serving``: the stems of their
    certificates, by node."""
    programs = []
    for node in nodes:
        name, stem = f"{node.name}-{NODE_AGENT}", serving[node.name]
        environment = {
            "NODE_AGENT_SUPER_KUBECONFIG": str(
                node.directory / "configuration" / f"{NODE_AGENT}.kubeconfig"
            ),
            "NODE_AGENT_NODE": node.name,
            "NODE_AGENT_ADDRESS": str(node.address),
            "NODE_AGENT_SECOND_PORT": str(AGENT_PORT),
            "NODE_AGENT_CERTIFICATE": str(stem.with_suffix(".crt")),
            "NODE_AGENT_KEY": str(stem.with_suffix(".key")),
            "NODE_AGENT_KUBELET": f"{node.address}:{KUBELET_PORT}",
            "NODE_AGENT_KUBELET_CA": str(pki / "ca.crt"),
            "VC_FILES": digests[name],
        }
        command = (*entering(node), sys.executable, "-m", "node_agent")
        programs.append(_program(name, NODE_AGENT, logs, node.site, command, environment))
    return programs


def daemons(
    nodes: Sequence[Node], logs: Path, binaries: Path, digests: Mapping[str, str]
) -> list[Program]:
    """The kubelet and the kube-proxy of each node; a changed digest of its files restarts one."""
    programs = []
    for node in nodes:
        configuration = node.directory / "configuration"
        kubelet = (
            *("/bin/sh", "-c", WHEN_CONTAINERD_SERVES, KUBELET, CONTAINERD_SOCKET),
            str(binaries / KUBELET),
            f"--config={configuration / 'kubelet.yaml'}",
            f"--kubeconfig={configuration / 'kubelet.kubeconfig'}",
            f"--hostname-override={node.name}",
            # Whoever has several interfaces may not guess.
            f"--node-ip={node.address}",
            f"--node-labels={LABEL}=true",
        )
        proxy = (
            str(binaries / KUBE_PROXY),
            f"--config={configuration / 'kube-proxy.yaml'}",
        )
        for part, command in ((KUBELET, kubelet), (KUBE_PROXY, proxy)):
            name = f"{node.name}-{part}"
            programs.append(
                _program(
                    name,
                    part,
                    logs,
                    node.site,
                    (*entering(node), *command),
                    {"VC_FILES": digests[name]},
                )
            )
    return programs


def _place(node: Node) -> tuple[str, ...]:
    return str(node.site.state), str(node.site.block_number), str(node.number)


def _module(name: str) -> tuple[str, ...]:
    return sys.executable, "-m", f"{PACKAGE}.{name}"


def _program(
    name: str,
    part: str,
    logs: Path,
    site: Site,
    command: tuple[str, ...],
    environment: Mapping[str, str] | None = None,
) -> Program:
    return Program(
        name=name,
        command=command,
        log_file=logs / f"{name}.log",
        directory=site.state,
        environment={"PYTHONPATH": IMPORT_PATH, **(environment or {})},
        stop_seconds=20,
        priority=STOPPED_LAST.get(part, 0),
    )
