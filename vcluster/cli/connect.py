"""``vc connect``: a shell or a command for which kubectl speaks to a tenant."""

import os
from pathlib import Path

import click

from vcluster.cli.arguments import namespace_option, tenant_argument
from vcluster.cli.connection import Target, connection_options
from vcluster.cli.output import Failure, say


@click.command()
@tenant_argument
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@namespace_option
@connection_options
def connect(target: Target, name: str, namespace: str, command: tuple[str, ...]) -> None:
    """Run COMMAND (else your shell) with KUBECONFIG set to the tenant NAME.

    Write -- before a command that has options. Its exit code becomes that of vc.
    """
    from vcluster.cli import session

    cluster = target.open()
    tenant = cluster.find(name, namespace)
    data = cluster.kubeconfig_of(tenant)
    cluster.close()
    if not command:
        say(f"tenant {name!r}: kubectl speaks to it in this shell; leave with: exit")
    environment = {**os.environ, "VC_TENANT": name, "PATH": _path(target)}
    try:
        code = session.run(command, data, name, environment)
    except session.CannotRun as error:
        Failure(str(error), "write the program and each argument as words of their own").show()
        code = error.exit_code
    click.get_current_context().exit(code)


def _path(target: Target) -> str:
    """The person's PATH, and behind it the local super cluster's programs: they have a kubectl."""
    from vcluster.local.state import State

    own = os.environ.get("PATH", os.defpath)
    programs: Path = State.find(target.state_dir).binaries
    return f"{own}{os.pathsep}{programs}" if programs.is_dir() else own
