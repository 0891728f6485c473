"""Pods that ran before the chaos, and must be the very same ones after it (law 6)."""

from kube.resources import PODS
from tests.chaos import load
from tests.chaos.agreement import source_uid
from tests.chaos.clusters import all_of, connected
from tests.e2e.local_system import LocalSystem, TenantCluster


async def steady_pods(local: LocalSystem, *tenants: TenantCluster) -> set[tuple[str, str]]:
    """The UIDs of the steady deployments' pods: of the tenant's pod, and of the super pod."""
    found: set[tuple[str, str]] = set()
    async with connected(local.super) as client:
        for tenant in tenants:
            selector = f"virtualcluster.dev/tenant={tenant.key},app={load.STEADY}"
            pods = await all_of(client, PODS, selector)
            found |= {(source_uid(pod), pod["metadata"]["uid"]) for pod in pods}
    return found
