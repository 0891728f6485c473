"""``vc describe``: all about one tenant."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from vcluster.cli.arguments import namespace_option, tenant_argument
from vcluster.cli.connection import Target, connection_options
from vcluster.cli.output import document, indent, output_option, show_document, table

if TYPE_CHECKING:
    from vcluster.api import Object
    from vcluster.cli.super_cluster import SuperCluster

SHOWN_PODS = 30
SHOWN_EVENTS = 20


@click.command()
@tenant_argument
@namespace_option
@output_option
@connection_options
def describe(target: Target, name: str, namespace: str, output: str) -> None:
    """Show the tenant NAME: its spec, conditions, what it has in the super cluster, events."""
    found = gather(target.open(), name, namespace)
    if output == "table":
        click.echo(render(found, datetime.now(UTC)))
    else:
        show_document(found, output)


def gather(cluster: "SuperCluster", name: str, namespace: str) -> dict[str, Any]:
    """The objects that have to do with a tenant."""
    from kube.resources import EVENTS, NAMESPACES, PODS
    from vcluster.api import TENANT_LABEL

    tenant = cluster.find(name, namespace)
    key = (tenant.get("status") or {}).get("tenantKey")
    selector = f"{TENANT_LABEL}={key}"
    uid = tenant["metadata"]["uid"]
    events = cluster.select(EVENTS, namespace, fieldSelector=f"involvedObject.uid={uid}")
    return {
        "virtualCluster": tenant,
        "namespaces": cluster.select(NAMESPACES, labelSelector=selector) if key else [],
        "pods": cluster.select(PODS, labelSelector=selector) if key else [],
        "events": sorted(events, key=lambda event: str(event.get("lastTimestamp") or "")),
    }


def render(found: dict[str, Any], now: datetime) -> str:
    """The text of it. Pure."""
    from vcluster.cli import facts

    tenant, pods = found["virtualCluster"], found["pods"]
    status = tenant.get("status") or {}
    conditions = [facts.condition_row(item, now) for item in status.get("conditions") or []]
    counted = Counter(pod["metadata"]["namespace"] for pod in pods)
    namespaces = [facts.namespace_row(item, counted) for item in found["namespaces"]]
    events = [facts.event_row(event, now) for event in found["events"][-SHOWN_EVENTS:]]
    shown = [facts.pod_row(pod) for pod in pods[:SHOWN_PODS]]
    sections = [
        _head(tenant, pods, now),
        "Spec:\n" + indent(document(tenant.get("spec") or {}, "yaml").splitlines()),
        _section("Conditions", conditions, ("condition", "status", "reason", "age", "message")),
        _section(
            "In the super cluster", namespaces, ("super_namespace", "namespace", "phase", "pods")
        ),
        _section("Pods", shown, ("namespace", "name", "phase", "gpus", "node")),
        _more(len(pods) - len(shown), status.get("tenantKey")),
        _section("Events", events, ("age", "type", "reason", "count", "message")),
    ]
    return "\n\n".join(section for section in sections if section)


def _head(tenant: "Object", pods: Sequence["Object"], now: datetime) -> str:
    from vcluster.cli import facts, usage

    row = facts.tenant_row(tenant, now)
    status = tenant.get("status") or {}
    running = sum((pod.get("status") or {}).get("phase") == "Running" for pod in pods)
    lines = {
        "Name": row["name"],
        "Namespace": row["namespace"],
        "Phase": row["phase"],
        "Age": row["age"],
        "Class": row["class"],
        "Kubernetes": row["version"],
        "Endpoint": row["endpoint"],
        "Service range": row["services"],
        "Tenant key": row["key"],
        "Kubeconfig": f"Secret {status['kubeconfigSecret']} in the namespace {row['key']}"
        if status.get("kubeconfigSecret")
        else None,
        "Pods": f"{len(pods)}, {running} running",
        "Datastore": usage.datastore(status),
    }
    width = max(map(len, lines)) + 1
    return "\n".join(f"{f'{name}:'.ljust(width)}  {text or '-'}" for name, text in lines.items())


def _section(title: str, rows: Sequence[dict[str, object]], columns: Iterable[str]) -> str:
    if not rows:
        return f"{title}: none"
    return f"{title}:\n" + indent(table(rows, tuple(columns)).splitlines())


def _more(count: int, key: str | None) -> str:
    if count <= 0:
        return ""
    return f"  and {count} more; all: kubectl get pods -A -l virtualcluster.dev/tenant={key}"
