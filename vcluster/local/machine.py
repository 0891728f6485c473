"""What this machine allows its users, where that may be too little."""

from pathlib import Path

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
OF_A_TENANT, OF_THE_REST = 14, 24
"""Inotify instances that were counted: of a tenant's API server and controller-manager, and of a super
cluster with one real node. Each program takes one for each file of certificates that it reads again."""
ENOUGH = 512


def inotify_instances(file: Path = INOTIFY) -> int | None:
    """How many each user may have; None where that is not known."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def advice(instances: int | None) -> str:
    """What to tell before tenants run out of them, which no program says well; empty: nothing."""
    if instances is None or instances >= ENOUGH:
        return ""
    tenants = max(0, instances - OF_THE_REST) // OF_A_TENANT
    return (
        f"fs.inotify.max_user_instances is {instances}, enough for some {tenants} tenants; "
        f"`sysctl -w fs.inotify.max_user_instances={ENOUGH * 2}` (as root) allows more"
    )
