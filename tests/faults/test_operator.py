"""What can happen to the operator: its disk is full, a tenant goes in the middle of everything."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from tests.chaos import load
from tests.chaos.agreement import both_sides_agree
from tests.chaos.clusters import connected
from tests.chaos.faults import OPERATOR, api_server
from tests.chaos.pace import until_running
from tests.e2e.local_system import Object, TenantCluster, wait_for
from tests.faults import records
from tests.faults.records import Record
from tests.faults.system import FaultSystem
from vcluster import api

WHICH = ("virtualcluster", "cramped", "tenants")


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """The process can write no file at all. Nothing is left to clean up if we are killed."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_a_tenant_that_is_created_on_a_full_disk_is_ready_when_there_is_room(
    direct: FaultSystem, beside: TenantCluster
) -> None:
    cluster = direct.local.super
    with full_disk(OPERATOR.pid(direct.local)):
        start = monotonic()
        cluster.apply(_virtual_cluster("cramped"))
        message = wait_for("it says why", lambda: _ready(cluster.get(*WHICH), "File too large"), 90)
        before = asyncio.run(_bystander(direct, beside))
        lasted, end = monotonic() - start, monotonic()
    wait_for("it is ready", lambda: _ready(cluster.get(*WHICH), ""), 120)
    directory = direct.state.directory / "tenants"
    assert not list(directory.rglob(".new-*")), "half files are left"
    records.write(
        Record(
            group="the operator",
            fault="disk full while a tenant is created",
            seen=f"condition Ready: “{message}”; no half file is left; another tenant's pod ran "
            f"after {before:.2f} s meanwhile",
            lasted=lasted,
            recovered=monotonic() - end,
        )
    )
    direct.local.vc("delete", "cramped")


async def _bystander(system: FaultSystem, beside: TenantCluster) -> float:
    async with connected(beside) as client:
        await load.prepare(client)
        seconds = await until_running(client, "beside-the-full")
        await load.clear(client)
    return seconds


async def test_a_tenant_that_is_deleted_while_it_hangs_and_is_mirrored_leaves_nothing(
    direct: FaultSystem, beside: TenantCluster
) -> None:
    doomed = await asyncio.to_thread(direct.local.create_tenant, "doomed")
    async with connected(doomed) as client:
        await load.prepare(client)
        for number in range(30):
            await load.create(client, f"doomed-{number}", {})
    start = monotonic()
    with api_server(doomed.key).stopped(direct.local):
        await asyncio.to_thread(
            direct.local.super.kubectl,
            "delete",
            "--wait=false",
            "virtualcluster",
            "doomed",
            "-n",
            "tenants",
        )
        await asyncio.to_thread(
            wait_for,
            "it is gone",
            lambda: direct.local.super.get("virtualcluster", "doomed", "tenants") is None,
            120,
        )
        seconds = monotonic() - start
        left = direct.local.super.items("namespaces", "-l", f"{api.TENANT_LABEL}={doomed.key}")
        assert not left
    await both_sides_agree(direct.local, beside)
    records.write(
        Record(
            group="a tenant's API server",
            fault="deleted while it hangs and 30 pods are on their way",
            seen="nothing of it is left; a neighbour is in step",
            lasted=0.0,
            recovered=seconds,
        )
    )


def _virtual_cluster(name: str) -> Object:
    return {
        "apiVersion": api.API_VERSION,
        "kind": "VirtualCluster",
        "metadata": {"name": name, "namespace": "tenants"},
        "spec": {},
    }


def _ready(found: Object | None, because: str) -> str:
    """The message of the condition Ready, if it is False for this reason; if none is given: True."""
    for condition in (found or {}).get("status", {}).get("conditions", ()):
        if condition["type"] == "Ready":
            message: str = condition["message"]
            right = because in message if because else condition["status"] == "True"
            return message if right else ""
    return ""
