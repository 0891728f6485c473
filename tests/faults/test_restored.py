"""The datastore of all API servers is set back to an earlier moment, as from a backup."""

import asyncio
import shutil
from pathlib import Path
from time import monotonic

from tests.chaos.agreement import both_sides_agree
from tests.chaos.faults import SUPER_API_SERVER, Component
from tests.chaos.pace import paced, until_running
from tests.e2e.local_system import TenantCluster
from tests.faults import records
from tests.faults.records import Record
from tests.faults.system import FaultSystem
from tests.faults.watched import undisturbed
from vcluster.local.components import GROUP

SINCE_PODS = 60
"""So many pods are created and deleted after the backup, that the versions are far ahead of it."""


async def test_after_a_restore_the_syncer_begins_anew(
    system: FaultSystem, victims: list[TenantCluster], beside: TenantCluster, tmp_path: Path
) -> None:
    async with undisturbed(system, *victims, beside) as clients:
        some = [clients[0], clients[-1]]
        await asyncio.to_thread(_swap, system, system.state.etcd_data, tmp_path / "backup")
        await both_sides_agree(system.local, *victims, beside)
        await asyncio.gather(*(paced(client, "since", SINCE_PODS, 10.0) for client in some))

        start = monotonic()
        await asyncio.to_thread(_restore, system, tmp_path / "backup")
        end = monotonic()
        for client in some:
            await until_running(client, "afterwards", 120)
        await both_sides_agree(system.local, *victims, beside)
        recovered = monotonic() - end
    records.write(
        Record(
            group="the super cluster",
            fault="datastore of all API servers restored from a backup",
            seen=f"{SINCE_PODS * len(some)} pods that were created since are gone on both sides; the "
            "older ones untouched; the syncer notices and begins anew",
            lasted=end - start,
            recovered=recovered,
        )
    )


def _swap(system: FaultSystem, source: Path, target: Path) -> None:
    """Copy one folder over the other while nothing writes to the datastore's."""
    system.supervisor.stop(GROUP, "etcd")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    system.supervisor.start_program(GROUP, "etcd")


def _restore(system: FaultSystem, backup: Path) -> None:
    """As the manual of Kubernetes says: all that remembers is started again. But not the syncer."""
    _swap(system, backup, system.state.etcd_data)
    groups = [tenant.key for tenant in system.tenants.values()]
    servers = [SUPER_API_SERVER, *system.api_servers()]
    others = [
        Component(GROUP, name) for name in ("kube-controller-manager", "kube-scheduler", "kwok")
    ]
    others += [Component(key, "kube-controller-manager") for key in groups]
    system.restart(*servers)
    system.restart(*others)
