"""``vc create``: a new tenant."""

import sys
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import click

from vcluster.cli.arguments import namespace_option, timeout_option
from vcluster.cli.connection import DEFAULT_NAMESPACE, Target, connection_options
from vcluster.cli.output import Failure, say

if TYPE_CHECKING:
    from vcluster.api import Object
    from vcluster.cli.super_cluster import SuperCluster


MIRRORED_SECONDS = 15.0
"""How long a tenant that is ready is waited for to be mirrored as well: else it has no nodes yet."""


@click.command()
@click.argument("name")
@namespace_option
@click.option("--class", "class_name", metavar="CLASS", default="", help="The VirtualClusterClass.")
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    default="",
    help="A VirtualCluster, or only its spec, in YAML or JSON; - is standard input.",
)
@click.option("--wait/--no-wait", default=True, help="Wait until it is ready (default).")
@timeout_option
@connection_options
def create(
    target: Target,
    name: str,
    namespace: str,
    class_name: str,
    file: str,
    wait: bool,
    timeout: float,
) -> None:
    """Create the tenant NAME and wait until it is ready.

    Creating one again that exists with the same spec only waits.
    """
    from vcluster.cli import specification

    origin = "standard input" if file == "-" else file
    document = specification.parse(_read(file), origin) if file else None
    wanted = specification.virtual_cluster(name, namespace, class_name, document)
    cluster = target.open()
    tenant, created = _create(cluster, wanted, origin)
    if created:
        say(f"tenant {name!r} created in the namespace {namespace!r}")
    else:
        say(f"tenant {name!r} exists with this spec")
    if wait:
        seconds = _await_ready(cluster, tenant, timeout)
        click.echo(f"tenant {name!r} is ready ({seconds:.1f} s)")
        _say_next(name, namespace)


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text in UTF-8"
        raise Failure(f"--file {file}: {reason}") from error


def _create(cluster: "SuperCluster", wanted: "Object", origin: str) -> tuple["Object", bool]:
    """The tenant, and whether it is new."""
    from vcluster.cli.failures import refusal
    from vcluster.control_plane.cluster import ApiError
    from vcluster.control_plane.resources import VIRTUAL_CLUSTERS

    namespace = wanted["metadata"]["namespace"]
    try:
        if namespace == DEFAULT_NAMESPACE and cluster.ensure_namespace(namespace):
            say(f"namespace {namespace!r} created")
        try:
            return cluster.create_strictly(VIRTUAL_CLUSTERS, wanted), True
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            return _existing(cluster, wanted), False
    except ApiError as error:
        if error.status == 404:
            message = f"there is no namespace {namespace!r} in {cluster.source.description}"
            raise Failure(message, f"kubectl create namespace {namespace}") from error
        if error.status in (400, 422):
            hint = "kubectl explain virtualcluster.spec --recursive lists the fields"
            raise Failure(
                f"wrong spec{f' in {origin}' if origin else ''}: {refusal(str(error))}", hint
            ) from error
        raise


def _existing(cluster: "SuperCluster", wanted: "Object") -> "Object":
    """The tenant that is there already. Raises Failure if it is another one than wanted."""
    from vcluster.cli.specification import differences
    from vcluster.control_plane.resources import VIRTUAL_CLUSTERS

    name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
    found = cluster.find(name, namespace)
    if "deletionTimestamp" in found["metadata"]:
        raise Failure(
            f"tenant {name!r} is being deleted",
            f"vc delete {name} -n {namespace} waits for the end",
        )
    # Let the API server fill in the defaults; the name must be one that is free.
    metadata = {"name": f"compared-{token_hex(4)}", "namespace": namespace}
    dry = cluster.create_strictly(VIRTUAL_CLUSTERS, {**wanted, "metadata": metadata}, dry_run=True)
    paths = list(differences(dry["spec"], found["spec"]))
    if paths:
        raise Failure(
            f"tenant {name!r} exists already, with another {paths[0]}",
            f"kubectl edit virtualcluster {name} -n {namespace} changes it; "
            f"vc describe {name} -n {namespace} shows it",
        )
    return found


def _await_ready(cluster: "SuperCluster", tenant: "Object", timeout: float) -> float:
    """Tell what happens until the tenant is ready; how many seconds that took."""
    from vcluster.cli import progress
    from vcluster.control_plane.resources import VIRTUAL_CLUSTERS

    name, namespace = tenant["metadata"]["name"], tenant["metadata"]["namespace"]
    narrator, patience = progress.Narrator({}), 0.0
    while True:
        narrator.follow(progress.story(tenant))
        if progress.is_ready(tenant):
            if progress.is_mirrored(tenant):
                return narrator.seconds
            patience = patience or narrator.seconds + MIRRORED_SECONDS
            if narrator.seconds > patience:
                say("no syncer mirrors it: its nodes do not show and its pods wait; vc status")
                return narrator.seconds
        if reason := progress.verdict(tenant):
            raise Failure(
                f"tenant {name!r} cannot become ready: {reason}",
                f"correct it with: kubectl edit virtualcluster {name} -n {namespace}; "
                f"or remove it with: vc delete {name} -n {namespace}",
            )
        if not narrator.wait(timeout):
            raise progress.stuck(tenant, timeout)
        found = cluster.get(VIRTUAL_CLUSTERS, name, namespace)
        if found is None or found["metadata"]["uid"] != tenant["metadata"]["uid"]:
            raise Failure(f"tenant {name!r} was deleted while it was waited for")
        tenant = found


def _say_next(name: str, namespace: str) -> None:
    option = "" if namespace == DEFAULT_NAMESPACE else f" -n {namespace}"
    say(f"try: vc connect {name}{option} -- kubectl get namespaces")
