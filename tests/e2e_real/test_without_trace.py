"""Real nodes that are killed, and taken away: pods come back, and in the end nothing is left."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for
from tests.e2e_real.containers import container_pod, is_ready
from vcluster.local.real_nodes import cgroups, leftovers
from vcluster.local.real_nodes.site import Site
from vcluster.supervision.program import MARK

PLACES = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/run/containerd", "/opt/containerd")
"""Where real nodes keep things; on this machine they are none of ours."""


def kill_supervisor(local: LocalSystem) -> None:
    pid = int((local.state_directory / "supervisor/supervisord.pid").read_text())
    os.kill(pid, signal.SIGKILL)


def remains(local: LocalSystem) -> list[str]:
    """What is left on this machine of the system: processes, cgroups, interface, mounts."""
    site = Site(local.state_directory, 0)
    found = [str(path) for path in leftovers.left_on_host(site)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        *found,
        *(line for line in mounts if str(local.state_directory) in line),
        *(f"process {process}" for process in processes(local)),
    ]


def processes(local: LocalSystem) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(local.state_directory / "supervisor"):
                yield process
        except (psutil.Error, OSError):
            continue


def test_a_killed_system_comes_back_with_its_pods(
    local: LocalSystem, team_a: TenantCluster
) -> None:
    team_a.apply(container_pod("stays", "sleep 100000"))
    wait_for("it runs", lambda: is_ready(team_a, "stays"))
    kill_supervisor(local)
    wait_for("all that ran has ended", lambda: not any(processes(local)))
    # Its network namespace may live on as long as the kernel wants to tell a peer of a connection's end.
    local.vc("up")

    def restarted() -> bool:
        found = is_ready(team_a, "stays") or {"status": {}}
        statuses = found["status"].get("containerStatuses") or [{}]
        return bool(statuses[0].get("restartCount"))

    wait_for("it runs again", restarted, 300)


def test_fewer_nodes_leave_nothing_of_the_others(local: LocalSystem, team_a: TenantCluster) -> None:
    local.vc("up", "--real-nodes", "1")
    site = Site(local.state_directory, 0)
    assert not (site.directory / "real-1").exists()
    wait_for("its node is gone", lambda: local.super.get("node", "real-1", "") is None)
    assert not (cgroups.ROOT / "memory" / site.nodes(2)[1].cgroup).exists()


def test_nothing_is_left_of_a_killed_system(local: LocalSystem, team_a: TenantCluster) -> None:
    before = {place for place in PLACES if Path(place).exists()}
    assert remains(local)
    kill_supervisor(local)
    local.vc("down", "--purge")
    assert remains(local) == []
    assert not local.state_directory.exists()
    assert {place for place in PLACES if Path(place).exists()} == before
