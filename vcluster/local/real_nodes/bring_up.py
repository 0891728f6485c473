"""Bring the real nodes up, or away: every step may be repeated, and none is done in vain."""

import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

import msgspec

from kube import resources
from vcluster.control_plane.cluster import Cluster
from vcluster.local import components as super_cluster
from vcluster.local.real_nodes import components, configuration, images, leftovers, requirements
from vcluster.local.real_nodes.commands import run
from vcluster.local.real_nodes.site import AGENT_PORT, LABEL, Node, Site, free_block
from vcluster.local.state import State, StateError
from vcluster.supervision import Program, Supervisor

Wait = Callable[[str, Callable[[], bool], float], None]
"""Wait for a condition: what it is, the condition, at most how many seconds."""

SERVICE_RANGES = (super_cluster.SERVICE_RANGE, super_cluster.TENANT_SERVICE_POOL)
CONTAINERD_SECONDS = 60.0
CONNECT_SECONDS = 1.0


def choose_block(state: State) -> None:
    """Give the nodes a block of addresses that this machine does not use, and keep it."""
    if state.read().real_block is not None:
        return
    routes = msgspec.json.decode(run("ip", "-4", "-json", "route", "show", "table", "all"))
    taken = [
        IPv4Network(route["dst"], strict=False)
        for route in routes
        if route.get("dst", "default") != "default"
    ]
    try:
        state.update(real_block=free_block(taken))
    except ValueError as error:
        raise StateError(f"real nodes have no free addresses: {error}") from error


def bring_up(
    state: State, site: Site, count: int, report: Callable[[str], None], wait: Wait
) -> None:
    """Exactly ``count`` nodes run; they register themselves a moment later.

    Raises MissingRequirement, ImageError, CommandError, SupervisionError, and what ``wait`` raises.
    """
    for name in (components.KUBELET, components.KUBE_PROXY):
        remedy = "name a folder elsewhere with VC_BINARIES or XDG_CACHE_HOME"
        requirements.check_visible(f"the program {name}", state.binaries / name, remedy)
    for folder in (Path(sys.executable), Path(components.IMPORT_PATH)):
        remedy = "install vc in another folder"
        requirements.check_visible("vc itself", folder, remedy)
    plugins = requirements.install(report)
    nodes = site.nodes(count)
    archives = images.build(site, {name: state.binaries / name for name in ("kubectl", "coredns")})
    port = state.ports[super_cluster.API_SERVER]
    digests = configuration.write(state, nodes, port, plugins)
    serving = {node.name: configuration.agent_serving(state, node) for node in nodes}
    supervisor = Supervisor(state.supervisor_directory)

    def apply(complete: Sequence[Node]) -> None:
        programs: list[Program] = [
            *components.holders(site, nodes, state.logs, port, SERVICE_RANGES, digests),
            components.storage(site, state.logs, state.kubeconfig(components.VOLUMES)),
            *components.daemons(complete, state.logs, state.binaries, digests),
            *components.agents(complete, state.logs, state.pki, serving, digests),
        ]
        supervisor.apply(components.GROUP, programs)

    complete = [node for node in nodes if images.has_all(node, archives)]
    apply(complete)
    for node in nodes:
        if node not in complete:
            served = partial(images.answers, node)
            wait(f"containerd of {node.name} answers", served, CONTAINERD_SECONDS)
            images.load_all(node, archives)
    # A kubelet that finds no images would wait before it looks again.
    apply(nodes)
    _forget(site, count)


def agents_listen(nodes: Sequence[Node]) -> bool:
    """Whether each node's agent is there, where virtual nodes say that it is."""
    try:
        for node in nodes:
            socket.create_connection((str(node.address), AGENT_PORT), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def take_away(state: State) -> None:
    """No real node runs, and nothing is left of those that did."""
    supervisor = Supervisor(state.supervisor_directory)
    if components.GROUP in supervisor.groups():
        supervisor.remove(components.GROUP)
    leftovers.clear(state.directory)
    _forget(Site(state.directory, 0), 0)


def remove_surplus(cluster: Cluster, count: int) -> None:
    """Remove the objects of real nodes that are no longer wanted."""
    wanted = {f"real-{number}" for number in range(count)}
    for node in cluster.list(resources.NODES, selector=LABEL):
        if node["metadata"]["name"] not in wanted:
            cluster.delete(resources.NODES, node["metadata"]["name"])


def _forget(site: Site, count: int) -> None:
    """Delete the files of nodes beyond ``count``; of all, and what they share, if that is 0."""
    wanted = {node.name for node in site.nodes(count)}
    for directory in site.directory.glob("real-*"):
        if directory.name not in wanted:
            shutil.rmtree(directory)
    if not count and site.directory.exists():
        shutil.rmtree(site.directory)
