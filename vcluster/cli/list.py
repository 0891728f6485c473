"""``vc list``: the tenants."""

from datetime import UTC, datetime

import click

from vcluster.cli.arguments import namespace_option
from vcluster.cli.connection import Target, connection_options
from vcluster.cli.output import output_option, say, show, show_document


@click.command("list")
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@output_option
@connection_options
def list_tenants(target: Target, namespace: str, all_namespaces: bool, output: str) -> None:
    """List the tenants."""
    from vcluster.cli.facts import tenant_row
    from vcluster.control_plane.resources import VIRTUAL_CLUSTERS

    tenants = target.open().list(VIRTUAL_CLUSTERS, "" if all_namespaces else namespace)
    if output != "table":
        show_document({"apiVersion": "v1", "kind": "List", "items": tenants}, output)
        return
    if not tenants:
        where = "in any namespace" if all_namespaces else f"in the namespace {namespace!r}"
        say(f"there are no tenants {where}; make one with: vc create NAME")
        return
    now = datetime.now(UTC)
    columns = ("namespace", "name") if all_namespaces else ("name",)
    rows = [tenant_row(tenant, now) for tenant in tenants]
    show(rows, (*columns, "phase", "ready", "version", "class", "endpoint", "age"), output)
