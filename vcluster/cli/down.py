"""`vc down`: stop what `vc up` started."""

from pathlib import Path

import click

from vcluster.cli.output import say
from vcluster.cli.up import STATE_DIR_HELP, explained


@click.command()
@click.option("--state-dir", type=click.Path(path_type=Path), help=STATE_DIR_HELP)
@click.option("--purge", is_flag=True, help="Delete all data too: the tenants, keys, logs.")
def down(state_dir: Path | None, purge: bool) -> None:
    """Stop the local super cluster, the tenants' control planes too; vc up continues it."""
    from vcluster.local.down import down as bring_down
    from vcluster.local.state import State

    state = State.find(state_dir)
    with explained():
        bring_down(state, purge)
    say(f"Down; {state.directory} is deleted." if purge else "Down; vc up continues it.")
