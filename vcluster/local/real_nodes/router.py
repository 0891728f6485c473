"""`python -m vcluster.local.real_nodes.router STATE BLOCK RANGE...`: the network that joins the nodes.

Holds a network namespace with a bridge that the nodes are plugged into, and a cable to the host. The
host gets one interface and its routes: to nodes, pods, and the RANGEs of Service addresses, so that
API servers reach webhooks, extension API servers and kubelets. Nodes and pods reach nothing of the
host but the gateway's sockets, which are in this namespace: new connections to the host are refused
here, and there is no way beyond.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from vcluster.local.real_nodes.commands import CommandError, batch, run, run_in
from vcluster.local.real_nodes.namespaces import (
    CLONE_NEWNET,
    Holder,
    exit_code,
    spawn,
    unshare,
)
from vcluster.local.real_nodes.site import Node, Site
from vcluster.local.real_nodes.waiting import Stopped, on_signal

BRIDGE, UPLINK = "nodes", "uplink"
"""The router's interfaces; a node's port is named as the node."""

RULES = """\
table inet router {
  chain forward {
    type filter hook forward priority 0; policy accept;
    oifname "uplink" ct state established,related accept
    oifname "uplink" reject
  }
}
"""


def hold(site: Site, service_ranges: Sequence[str]) -> int:
    """Keep the network up until SIGTERM; the exit code."""
    clear(site)
    ready, told = os.pipe()
    child = spawn(lambda: _be_namespace(told))
    os.close(told)
    try:
        if not os.read(ready, 1):
            return exit_code(os.waitpid(child, 0)[1])
        holder = Holder.of(child)
        _wire(site, holder, service_ranges)
        holder.write(site.router_holder)
        return exit_code(os.waitpid(child, 0)[1])
    except Stopped:
        return 0
    finally:
        _end(child)
        clear(site)


def clear(site: Site) -> None:
    """Remove what a router left on the host; its namespace went with its process."""
    site.router_holder.unlink(missing_ok=True)
    if Path(f"/sys/class/net/{site.mark}").exists():
        try:
            run("ip", "link", "delete", site.mark)
        except CommandError:
            # The other end may go at this moment, and takes this one along.
            if Path(f"/sys/class/net/{site.mark}").exists():
                raise


def plug_in(node: Node, router: Holder, holder: Holder, service_ranges: Sequence[str]) -> None:
    """Give a node its interface. The first node is the way to the Services' addresses as well."""
    inside, outside = holder.namespace("net"), router.namespace("net")
    peer = f"peer name eth0 netns {holder.pid}"
    batch(
        outside,
        [
            f"link add {node.name} type veth {peer}",
            f"link set {node.name} master {BRIDGE}",
            f"link set {node.name} up",
        ],
    )
    site = node.site
    batch(
        inside,
        [
            "link set lo up",
            f"address add {node.address}/{site.link.prefixlen} dev eth0",
            "link set eth0 up",
            f"route add default via {site.gateway}",
        ],
    )
    ranges = [str(node.pod_range), *(service_ranges if node.number == 0 else ())]
    batch(outside, [f"route replace {cidr} via {node.address}" for cidr in ranges])


def _be_namespace(told: int) -> None:
    unshare(CLONE_NEWNET)
    os.write(told, b"1")
    os.close(told)
    while True:
        signal.pause()


def _wire(site: Site, holder: Holder, service_ranges: Sequence[str]) -> None:
    inside = holder.namespace("net")
    router, host_end = site.uplink[1], site.uplink[2]
    length = site.uplink.prefixlen
    run("ip", "link", "add", site.mark, "type", "veth", "peer", UPLINK, "netns", str(holder.pid))
    for setting in ("ip_forward=1", "conf/all/send_redirects=0", "conf/default/send_redirects=0"):
        name, _, value = setting.partition("=")
        run_in(inside, "sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{name}")
    batch(
        inside,
        [
            "link set lo up",
            f"address add {router}/{length} dev {UPLINK}",
            f"link set {UPLINK} up",
            f"link add {BRIDGE} type bridge",
            f"address add {site.gateway}/{site.link.prefixlen} dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ],
    )
    run_in(inside, "nft", "-f", "-", stdin=RULES)
    # Another system may have the Services' ranges already: then its routes, of equal rank, stay the
    # first, and this one's API servers reach no Services.
    metric = 100 + site.block_number
    host = [f"route add {site.block} via {router}"]
    host += [f"route add {cidr} via {router} metric {metric}" for cidr in service_ranges]
    run("ip", "address", "add", f"{host_end}/{length}", "dev", site.mark)
    run("ip", "link", "set", site.mark, "up")
    run("ip", "-batch", "-", stdin="\n".join(host) + "\n")


def _end(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def main(arguments: Sequence[str]) -> int:
    """Read the arguments, and hold."""
    on_signal()
    state, block, *ranges = arguments
    return hold(Site(Path(state), int(block)), ranges)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
