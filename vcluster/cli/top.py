"""``vc top``: what the tenants use."""

import click

from vcluster.cli.connection import Target, connection_options
from vcluster.cli.output import output_option, say, show

COLUMNS = (
    "namespace",
    "name",
    "phase",
    "pods",
    "gpus",
    "memory",
    "cpu",
    "delay_down",
    "delay_up",
    "quota",
    "datastore",
)


@click.command()
@click.option("-n", "--namespace", default="", help="Only of this namespace.  [default: all]")
@output_option
@connection_options
def top(target: Target, namespace: str, output: str) -> None:
    """Show for each tenant: pods, GPUs, memory and CPU of its control plane, delay of syncing.

    PODS and GPUS are running/wanted, without finished pods. MEMORY and CPU are known for control
    planes that run as processes of this machine; CPU is of one core. DELAY is the syncer's, for the
    tenant's last pod. QUOTA is what is used of what is limited, the scarcest first,
    DATASTORE of the tenant's share of the datastore.
    """
    from kube.resources import PODS
    from vcluster.api import TENANT_LABEL
    from vcluster.cli import usage
    from vcluster.control_plane.resources import VIRTUAL_CLUSTERS
    from vcluster.local.state import State

    cluster = target.open()
    tenants = cluster.list(VIRTUAL_CLUSTERS, namespace)
    pods = cluster.select(PODS, labelSelector=TENANT_LABEL)
    state = State.find(target.state_dir)
    rows = usage.rows(tenants, pods, usage.processes_of(state), usage.delays_of(state))
    if output == "table" and not rows:
        say("there are no tenants; make one with: vc create NAME")
        return
    show(rows if output != "table" else [row | for_people(row) for row in rows], COLUMNS, output)


def for_people(row: dict[str, object]) -> dict[str, object]:
    """The cells of a row that have a unit, or are two figures. Pure."""
    return {
        "pods": f"{row['pods_running']}/{row['pods']}",
        "gpus": f"{row['gpus_used']}/{row['gpus_requested']}",
        "memory": _with_unit(row["memory_mib"], "MiB", 0),
        "cpu": _with_unit(row["cpu_percent"], "%", 1),
        "delay_down": _with_unit(row["delay_down_ms"], "ms", 1),
        "quota": ", ".join(row["quota"]) if isinstance(row["quota"], list) else None,
        "delay_up": _with_unit(row["delay_up_ms"], "ms", 1),
    }


def _with_unit(value: object, unit: str, digits: int) -> str | None:
    return f"{value:.{digits}f} {unit}" if isinstance(value, int | float) else None
