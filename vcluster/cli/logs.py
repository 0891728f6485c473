"""`vc logs`: what the components of the local system wrote."""

import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from vcluster.cli.output import Failure
from vcluster.cli.up import STATE_DIR_HELP


def _complete(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from vcluster.local.logs import log_files
    from vcluster.local.state import State

    names = log_files(State.find(context.params.get("state_dir")))
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("component", shell_complete=_complete)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=100, show_default=True)
@click.option("--state-dir", type=click.Path(path_type=Path), help=STATE_DIR_HELP)
def logs(component: str, follow: bool, lines: int, state_dir: Path | None) -> None:
    """Print the log of COMPONENT: syncer, kube-apiserver, ..., or TENANT_KEY/kube-apiserver."""
    from vcluster.local.logs import follow as new_lines
    from vcluster.local.logs import log_files, tail
    from vcluster.local.state import State

    files = log_files(State.find(state_dir))
    if component not in files:
        known = ", ".join(files) or "none: vc up was not run"
        raise Failure(f"there is no log of {component!r}", f"there are: {known}")
    out = sys.stdout.buffer
    out.write(tail(files[component], lines))
    out.flush()
    if follow:
        for data in new_lines(files[component]):
            out.write(data)
            out.flush()
