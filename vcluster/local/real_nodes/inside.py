"""What a node's PID 1 does first: the node's own view of files and kernel."""

from pathlib import Path

from vcluster.local.real_nodes import cgroups
from vcluster.local.real_nodes.commands import run
from vcluster.local.real_nodes.site import Node

OWN_FOLDERS = {"/var/lib": "lib", "/var/log": "log"}
"""Folders of the node's own, by the part of its directory that they are."""

SYSCTLS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
"""What a kubelet would set for the whole machine (pkg/kubelet/cm). It writes only what differs, so
it is shown what it wants, and the machine's own values stay."""


def set_up(node: Node) -> None:
    """Only in new namespaces, as their first process. Raises CommandError, OSError."""
    run("mount", "--make-rprivate", "/")
    # Containers with HostToContainer or Bidirectional mounts need a shared root.
    run("mount", "--make-rshared", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    _mount_cgroups()
    for place, part in OWN_FOLDERS.items():
        own = node.directory / part
        own.mkdir(mode=0o755, parents=True, exist_ok=True)
        run("mount", "--bind", str(own), place)
    # Sockets, network namespaces and address leases vanish with the node.
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for place in ("/run/lock", "/run/cni", "/var/lib/kubelet", "/var/log/pods"):
        Path(place).mkdir(parents=True, exist_ok=True)
    _show_sysctls()
    run("hostname", node.name)


def _mount_cgroups() -> None:
    """The hierarchies of version 1 only: crun refuses a mix with version 2."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(cgroups.ROOT))
    for name in cgroups.HIERARCHIES:
        place = cgroups.ROOT / name
        place.mkdir()
        option = "none,name=systemd" if name == cgroups.SYSTEMD else name
        run("mount", "-t", "cgroup", "-o", option, "cgroup", str(place))


def _show_sysctls() -> None:
    folder = Path("/run/shown-sysctls")
    folder.mkdir()
    for name, value in SYSCTLS.items():
        file = folder / name.replace("/", ".")
        file.write_text(f"{value}\n")
        run("mount", "--bind", str(file), f"/proc/sys/{name}")
