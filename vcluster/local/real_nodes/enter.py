"""`python -m vcluster.local.real_nodes.enter STATE BLOCK NUMBER COMMAND...`: a command in a node.

It is a child of ours that gets our SIGTERM, ends when we do, and gives us its exit code: as
supervision wants it, which nsenter(1) does not do.
"""

import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vcluster.local.real_nodes import cgroups
from vcluster.local.real_nodes.namespaces import Holder, enter, exit_code, spawn
from vcluster.local.real_nodes.site import Node, Site
from vcluster.local.real_nodes.waiting import Stopped, on_signal, until

NODE_SECONDS = 60.0
NAMESPACES = ("cgroup", "ipc", "uts", "net", "mnt")
"""Beside the pid namespace; mnt last, since the others' files are below our /proc."""


def run(node: Node, command: Sequence[str]) -> int:
    """Run the command in the node, when that is up; its exit code."""
    holder = until(f"{node.name} is up", partial(Holder.read, node.holder), NODE_SECONDS)
    enter(os.open(holder.namespace("pid"), os.O_RDONLY))
    descriptors = [os.open(holder.namespace(kind), os.O_RDONLY) for kind in NAMESPACES]
    child = spawn(partial(_go_inside, node, descriptors), command)
    while True:
        try:
            return exit_code(os.waitpid(child, 0)[1])
        except Stopped:
            os.kill(child, signal.SIGTERM)


def _go_inside(node: Node, descriptors: Sequence[int]) -> None:
    # A container runtime wants to be inside the cgroups that it sees as the root.
    cgroups.join(node.cgroup)
    for descriptor in descriptors:
        enter(descriptor)
        os.close(descriptor)
    os.chdir("/")
    # As on any node. With the supervisor's, a container's own "/" would be closed to all but root.
    os.umask(0o022)


def main(arguments: Sequence[str]) -> int:
    """Read the arguments, and run."""
    on_signal()
    state, block, number, *command = arguments
    try:
        return run(Node(int(number), Site(Path(state), int(block))), command)
    except Stopped:
        return 0
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
