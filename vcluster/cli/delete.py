"""``vc delete``: a tenant goes, with everything in it."""

from typing import TYPE_CHECKING

import click

from vcluster.cli.arguments import namespace_option, tenant_argument, timeout_option
from vcluster.cli.connection import Target, connection_options
from vcluster.cli.output import Failure, say

if TYPE_CHECKING:
    from vcluster.api import Object
    from vcluster.cli.super_cluster import SuperCluster


@click.command()
@tenant_argument
@namespace_option
@click.option("--wait/--no-wait", default=True, help="Wait until nothing is left (default).")
@timeout_option
@click.option("--ignore-not-found", is_flag=True, help="That there is none is no error.")
@connection_options
def delete(
    target: Target, name: str, namespace: str, wait: bool, timeout: float, ignore_not_found: bool
) -> None:
    """Delete the tenant NAME: its control plane, its objects, its pods in the super cluster."""
    from vcluster.control_plane.resources import VIRTUAL_CLUSTERS

    cluster = target.open()
    if ignore_not_found and cluster.get(VIRTUAL_CLUSTERS, name, namespace) is None:
        return
    tenant = cluster.find(name, namespace)
    say(f"deleting tenant {name!r}: {contents(_remains(cluster, tenant))}")
    cluster.delete(VIRTUAL_CLUSTERS, name, namespace, tenant["metadata"]["uid"])
    if not wait:
        click.echo(f"tenant {name!r} is being deleted")
        return
    seconds = _await_gone(cluster, tenant, timeout)
    click.echo(f"tenant {name!r} is deleted ({seconds:.1f} s)")


def contents(remains: dict[str, int]) -> str:
    """What there is, in words. Pure."""
    parts = [
        f"{count} {what if count == 1 else f'{what}s'}" for what, count in remains.items() if count
    ]
    return " and ".join(parts) or "no namespaces, no pods"


def _remains(cluster: "SuperCluster", tenant: "Object") -> dict[str, int]:
    from kube.resources import NAMESPACES, PODS
    from vcluster.api import TENANT_LABEL

    key = (tenant.get("status") or {}).get("tenantKey")
    if not key:
        return {}
    selector = f"{TENANT_LABEL}={key}"
    return {
        "namespace": len(cluster.select(NAMESPACES, labelSelector=selector)),
        "pod": len(cluster.select(PODS, labelSelector=selector)),
    }


def _await_gone(cluster: "SuperCluster", tenant: "Object", timeout: float) -> float:
    """Tell what is left until the tenant is gone; how many seconds that took."""
    from vcluster.cli import progress
    from vcluster.control_plane.resources import VIRTUAL_CLUSTERS

    name, namespace = tenant["metadata"]["name"], tenant["metadata"]["namespace"]
    narrator = progress.Narrator(progress.story(tenant))
    left = _remains(cluster, tenant)
    while True:
        found = cluster.get(VIRTUAL_CLUSTERS, name, namespace)
        if found is None or found["metadata"]["uid"] != tenant["metadata"]["uid"]:
            return narrator.seconds
        narrator.follow(progress.story(found))
        if (remains := _remains(cluster, found)) != left:
            narrator.say(f"left: {contents(remains)}")
            left = remains
        if not narrator.wait(timeout):
            raise Failure(
                f"tenant {name!r} is not gone after {timeout:g} s: {contents(left)} left",
                f"it goes on meanwhile; vc describe {name} -n {namespace} shows what it waits for, "
                "vc status whether the operator runs",
            )
