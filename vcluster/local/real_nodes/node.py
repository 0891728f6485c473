"""`python -m vcluster.local.real_nodes.node STATE BLOCK NUMBER RANGE...`: the namespaces of a node.

Ends, and with it all that is in the node, on SIGTERM, and when the node's PID 1 or the router ends.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vcluster.local.real_nodes import cgroups, inside, router
from vcluster.local.real_nodes.namespaces import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    Holder,
    exit_code,
    spawn,
    unshare,
)
from vcluster.local.real_nodes.site import Node, Site
from vcluster.local.real_nodes.waiting import Stopped, on_signal, until, until_one_ends

OWN = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP
ROUTER_SECONDS = 30.0
READY = b"ready"


def hold(node: Node, service_ranges: Sequence[str]) -> int:
    """Keep the node up; the exit code."""
    clear(node)
    try:
        found = until(
            "the router is up", partial(Holder.read, node.site.router_holder), ROUTER_SECONDS
        )
        cgroups.make(node.cgroup)
        parent, holder = _start(node)
        router.plug_in(node, found, holder, service_ranges)
        holder.write(node.holder)
        print(f"{node.name} is up; its PID 1 is {holder.pid} here", flush=True)
        until_one_ends(parent, found.pid)
    except Stopped:
        return 0
    else:
        return 1
    finally:
        clear(node)
        _reap()


def clear(node: Node) -> None:
    """End all that is in the node, and remove its cgroups. Raises TimeoutError."""
    node.holder.unlink(missing_ok=True)
    cgroups.remove(node.cgroup)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, 0)


def _start(node: Node) -> tuple[int, Holder]:
    """The node's PID 1, when its inside is set up, and its parent, which ends with it."""
    reading, told = os.pipe()
    parent = spawn(partial(_be_parent, node, told))
    os.close(told)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    if READY not in said:
        raise RuntimeError(f"{node.name} could not be set up; its messages are above")
    return parent, Holder.of(int(said.split()[0]))


def _be_parent(node: Node, told: int) -> None:
    """Join the cgroups first: they become the root of what the node sees.

    So several kubelets on one machine each have a /kubepods of their own.
    """
    cgroups.join(node.cgroup)
    unshare(OWN)
    first = spawn(partial(_be_first, node, told))
    # Before the first process can say that it is ready: it waits for nothing, but takes longer.
    os.write(told, f"{first}\n".encode())
    os.close(told)
    os._exit(exit_code(os.waitpid(first, 0)[1]))


def _be_first(node: Node, told: int) -> None:
    inside.set_up(node)
    os.write(told, READY)
    os.close(told)
    # Orphans of the node are ours; the kernel reaps them for whoever ignores this signal.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        signal.pause()


def main(arguments: Sequence[str]) -> int:
    """Read the arguments, and hold."""
    on_signal()
    state, block, number, *ranges = arguments
    return hold(Node(int(number), Site(Path(state), int(block))), ranges)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
