"""``vc kubeconfig``: a tenant's kubeconfig, printed, saved, or merged into the person's own."""

import os
from pathlib import Path

import click

from vcluster.cli.arguments import namespace_option, tenant_argument
from vcluster.cli.connection import Target, connection_options, own_kubeconfigs
from vcluster.cli.output import Failure, say


@click.command()
@tenant_argument
@namespace_option
@click.option("--merge", is_flag=True, help="Add it to your kubeconfig ($KUBECONFIG).")
@click.option("-o", "--output", "file", metavar="FILE", default="", help="Where to write it.")
@click.option(
    "--context-name",
    metavar="NAME",
    default="",
    help="Its name in your kubeconfig.  [default: NAME.NAMESPACE]",
)
@connection_options
def kubeconfig(
    target: Target, name: str, namespace: str, merge: bool, file: str, context_name: str
) -> None:
    """Print the administrator's kubeconfig of the tenant NAME.

    With -o it is written to a file that only you can read; with --merge it becomes a context of your
    own kubeconfig (or of FILE), whose current context stays.
    """
    if context_name and not merge:
        raise click.UsageError("--context-name goes with --merge")
    cluster = target.open()
    tenant = cluster.find(name, namespace)
    data = cluster.kubeconfig_of(tenant)
    if merge:
        path = Path(file).expanduser() if file else merge_target(own_kubeconfigs(os.environ))
        _merge(path, data, context_name or f"{name}.{namespace}", tenant["status"]["tenantKey"])
    elif file and file != "-":
        _save(Path(file).expanduser(), data)
    else:
        click.echo(data, nl=False)


def merge_target(paths: list[Path]) -> Path:
    """The one of several files that kubectl would change: the first that exists, or the last."""
    return next((path for path in paths if path.exists()), paths[-1])


def _save(path: Path, data: bytes) -> None:
    from vcluster.cli import kubeconfig_file

    try:
        kubeconfig_file.write(path, data)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from error
    say(f"written to {path}; use it with: kubectl --kubeconfig {path} get namespaces")


def _merge(path: Path, data: bytes, name: str, key: str) -> None:
    from vcluster.cli import kubeconfig_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with kubeconfig_file.locked(path):
            known = path.read_bytes() if path.exists() else b""
            merged = kubeconfig_file.merge(
                kubeconfig_file.parse(known, path), kubeconfig_file.parse(data, path), name, key
            )
            kubeconfig_file.write(path, kubeconfig_file.dump(merged))
    except OSError as error:
        raise Failure(f"{path} cannot be changed: {error.strerror}") from error
    say(f"context {name!r} is now in {path}; your current context stays")
    say(f"try: kubectl --context {name} get namespaces")
