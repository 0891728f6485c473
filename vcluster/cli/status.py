"""`vc status`: the processes of the local system."""

from pathlib import Path

import click

from vcluster.cli.output import Failure, output_option, show
from vcluster.cli.up import STATE_DIR_HELP, explained

COLUMNS = ("group", "name", "state", "pid", "age", "restarts", "memory", "cpu")
MINUTE, HOUR, DAY = 60, 3600, 86400


@click.command()
@click.option("--state-dir", type=click.Path(path_type=Path), help=STATE_DIR_HELP)
@output_option
def status(state_dir: Path | None, output: str) -> None:
    """Show each process: pid, age, restarts, memory, CPU. The group is the tenant, or super."""
    from vcluster.local.state import State
    from vcluster.local.status import status as measure
    from vcluster.supervision import Supervisor

    state = State.find(state_dir)
    if not Supervisor(state.supervisor_directory).is_running():
        message = f"nothing runs from {state.directory}"
        raise Failure(message, "vc up starts it; --state-dir chooses another folder")
    with explained():
        rows = [process.row() for process in measure(state)]
    show([row if output != "table" else row | _for_people(row) for row in rows], COLUMNS, output)


def age(seconds: int) -> str:
    """A duration as kubectl prints it."""
    for unit, letter, smaller, small in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "m")):
        if seconds >= 2 * unit:
            return f"{seconds // unit}{letter}{seconds % unit // smaller}{small}"
    return f"{seconds // MINUTE}m{seconds % MINUTE}s" if seconds >= 2 * MINUTE else f"{seconds}s"


def _for_people(row: dict[str, object]) -> dict[str, object]:
    seconds = row["age_seconds"]
    return {
        "pid": row["pid"] or None,
        "age": age(seconds) if isinstance(seconds, int) and row["pid"] else None,
        "memory": f"{row['memory_mib']:.0f} MiB" if row["pid"] else None,
        "cpu": f"{row['cpu_percent']:.1f} %" if row["pid"] else None,
    }
