"""What a machine must have for real nodes; what Debian can give is installed."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from vcluster.local.real_nodes import cgroups
from vcluster.local.real_nodes.site import is_hidden
from vcluster.supervision.program import SEARCH_PATH

Report = Callable[[str], None]

PACKAGES = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
    "hostname": "hostname",
    "cc": "gcc",
}
"""The programs that are needed, and the Debian package that has each."""
PLUGIN_PACKAGE = "containernetworking-plugins"
PLUGIN_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
PLUGINS = ("bridge", "host-local", "loopback", "portmap")
LIBRARY_PACKAGE = "libc6-dev"

INSTALL_SECONDS = 600


class MissingRequirement(Exception):
    """This machine cannot run real nodes; says what is missing."""


def check(site_directory: Path) -> None:
    """What cannot be installed. Raises MissingRequirement."""
    if platform.system() != "Linux":
        raise MissingRequirement(f"real nodes need Linux, and this is {platform.system()}")
    if os.geteuid() != 0:
        raise MissingRequirement("real nodes need root: run vc up as root, or without --real-nodes")
    if said := _namespaces_refused():
        raise MissingRequirement(f"real nodes need namespaces of their own, refused here: {said}")
    if missing := cgroups.missing():
        raise MissingRequirement(
            "real nodes need the cgroup v1 hierarchies of the kernel, each mounted alone below "
            f"{cgroups.ROOT}; missing: {', '.join(missing)} (cgroup v2 is not supported yet)"
        )
    check_visible("the state directory", site_directory, "choose another --state-dir")


def _namespaces_refused() -> str:
    """What the kernel says to new namespaces; empty if it makes them. A container may be forbidden to."""
    kinds = ("--net", "--mount", "--pid", "--ipc", "--uts", "--cgroup")
    try:
        done = subprocess.run(
            ["unshare", *kinds, "--fork", "true"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return f"unshare: {error.strerror}"
    return done.stderr.strip() or "unshare failed" if done.returncode else ""


def check_visible(what: str, path: Path, remedy: str) -> None:
    """Whether nodes see a path of the host. Raises MissingRequirement."""
    if folder := is_hidden(path.resolve()):
        raise MissingRequirement(
            f"{what} {path.resolve()} is below {folder}, of which a real node has its own; {remedy}"
        )


def install(report: Report) -> Path:
    """Install what is missing; the folder of the CNI plugins. Raises MissingRequirement."""
    if packages := _missing_packages():
        _install(sorted(packages), report)
        if packages := _missing_packages():
            raise MissingRequirement(f"these packages do not help: {', '.join(sorted(packages))}")
    found = _plugins()
    assert found is not None
    return found


def _missing_packages() -> set[str]:
    packages = {
        package
        for program, package in PACKAGES.items()
        if shutil.which(program, path=SEARCH_PATH) is None
    }
    if _plugins() is None:
        packages.add(PLUGIN_PACKAGE)
    if "gcc" in packages:
        packages.add(LIBRARY_PACKAGE)
    return packages


def _plugins() -> Path | None:
    return next(
        (
            folder
            for folder in PLUGIN_FOLDERS
            if all(os.access(folder / name, os.X_OK) for name in PLUGINS)
        ),
        None,
    )


def _install(packages: list[str], report: Report) -> None:
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise MissingRequirement(
            f"real nodes need programs that are missing here, and there is no apt-get to install "
            f"them; in Debian they are in the packages {names}"
        )
    report(f"installing {names}")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if _apt(install):
        return
    _apt(["apt-get", "update"])
    if said := _apt_error(install):
        raise MissingRequirement(
            f"real nodes need the packages {names}, and apt-get cannot install them: {said}"
        )


def _apt(command: list[str]) -> bool:
    return not _apt_error(command)


def _apt_error(command: list[str]) -> str:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {INSTALL_SECONDS} s"
    said = (done.stderr or done.stdout).strip().splitlines()
    return " / ".join(said[-3:]) or "it failed" if done.returncode else ""
