"""``vc binaries``: the Kubernetes programs of the local super cluster."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vcluster.cli.output import Failure, output_option, say, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcluster.binaries import Located

_folder = click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of programs, asked before all other places (also: VC_BINARIES).",
)


@click.group(invoke_without_command=True)
@_folder
@output_option
@click.pass_context
def binaries(context: click.Context, folder: Path | None, output: str) -> None:
    """List the Kubernetes programs that 'vc up' needs: wanted version, and where it was found."""
    context.obj = folder
    if context.invoked_subcommand is None:
        from vcluster.binaries import NAMES

        _list(NAMES, folder, output)


@binaries.command()
@_folder
@click.option("--real-nodes", is_flag=True, help="Also those that only real nodes need.")
@click.pass_obj
def get(from_list: Path | None, folder: Path | None, real_nodes: bool) -> None:
    """Obtain the programs that are missing: download them, or build them from source.

    They are kept in the user's cache, by version. With --from, programs of the right version are
    copied there from a folder, for machines that have neither Go nor a network.
    """
    from vcluster.binaries import NAMES, REAL_NODE_NAMES, BinariesError, ensure

    folder = folder or from_list
    names = (*NAMES, *(REAL_NODE_NAMES if real_nodes else ()))
    try:
        ensure(names, _report(), folder, keep=folder is not None)
    except BinariesError as error:
        raise Failure(error.message, error.hint) from error
    _list(names, folder, "table")


def _list(names: Sequence[str], folder: Path | None, output: str) -> None:
    from vcluster.binaries import BinariesError, locate

    try:
        found = locate(names, folder)
    except BinariesError as error:
        raise Failure(error.message, error.hint) from error
    rows = [_row(place) for place in found.values()]
    show(rows, ("program", "wanted", "found", "where", "path"), output)
    if output == "table":
        for place in found.values():
            for reason in place.passed_over:
                say(f"{place.name}: {reason}")
        if any(place.path is None for place in found.values()):
            say("'vc binaries get' obtains what is missing")


def _row(place: "Located") -> dict[str, object]:
    return {
        "program": place.name,
        "wanted": place.wanted,
        "found": place.version,
        "where": place.source.value,
        "path": str(place.path) if place.path else None,
        "passedOver": list(place.passed_over),
    }


def _report() -> "Callable[[str], None]":
    """Lines on stderr; on a terminal a line of progress overwrites the one before it."""
    from vcluster.binaries import Progress

    if not sys.stderr.isatty():
        return say
    unfinished = False

    def overwrite(line: str) -> None:
        nonlocal unfinished
        start = "\r\x1b[K" if unfinished else ""
        unfinished = isinstance(line, Progress)
        if unfinished:  # a line that wraps could not be overwritten
            line = line[: shutil.get_terminal_size().columns - 1]
        click.echo(f"{start}{line}", err=True, nl=not unfinished)

    return overwrite
