"""What people and scripts see: tables, JSON and YAML on stdout; progress and errors on stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, TypeVar

import click

_VERBOSE = "vcluster.verbose"
FORMATS = ("table", "json", "yaml")

_Command = TypeVar("_Command", bound=Callable[..., Any])

_COLOURS = {
    "green": ("Ready", "Running", "RUNNING", "True", "ready", "yes"),
    "yellow": ("Pending", "Provisioning", "Deleting", "STARTING", "BACKOFF", "Unknown", "Waiting"),
    "red": ("Failed", "Degraded", "FATAL", "False", "EXITED", "missing", "no"),
}
_COLOUR_OF = {word: colour for colour, words in _COLOURS.items() for word in words}


class Failure(click.ClickException):
    """What went wrong in one sentence, and what the person can do about it; exit code 1."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Print both; in colour on a terminal only."""
        target = file or sys.stderr
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {self.message}", file=target)
        if self.hint:
            click.echo(f"{click.style('Hint:', fg='cyan')}  {self.hint}", file=target)


def output_option(command: _Command) -> _Command:
    """The option -o/--output, passed to the command as ``output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print.",
    )(command)


def verbose_option(command: _Command) -> _Command:
    """The option -v/--verbose; not passed to the command."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_set_verbose,
        help="Show where an error comes from.",
    )(command)


def is_verbose(context: click.Context) -> bool:
    """Whether -v was given, before or after the name of the command."""
    return bool(context.find_root().meta.get(_VERBOSE))


def say(text: str) -> None:
    """Tell how far it is: one line on stderr, so that stdout stays clean for scripts."""
    click.echo(text, err=True)


def show(rows: Sequence[Mapping[str, object]], columns: Sequence[str], output: str) -> None:
    """Print rows as a table of these columns, or whole as a JSON or YAML list.

    A column ``gpus_used`` has the heading GPUS USED; a missing or None value is shown as ``-``.
    """
    if output == "table":
        click.echo(table(rows, columns))
    else:
        show_document([dict(row) for row in rows], output)


def show_document(value: object, output: str) -> None:
    """Print one value as JSON or YAML."""
    click.echo(document(value, output))


def document(value: object, output: str) -> str:
    """One value as JSON or YAML, without a line break at the end."""
    if output == "json":
        return json.dumps(value, indent=2, ensure_ascii=False)
    import yaml

    text: str = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """A table as kubectl prints it: headings in capitals, three spaces between columns."""
    heading = [column.replace("_", " ").upper() for column in columns]
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in (heading, *cells)) for i in range(len(columns))]
    return "\n".join(_line(line, widths) for line in (heading, *cells))


def indent(lines: Iterable[str], by: int = 2) -> str:
    """Lines moved to the right."""
    return "\n".join(f"{' ' * by}{line}" if line else "" for line in lines)


def _set_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().meta[_VERBOSE] = True


def _line(line: Sequence[str], widths: Sequence[int]) -> str:
    padded = [_coloured(cell, width) for cell, width in zip(line, widths, strict=True)]
    return "   ".join(padded).rstrip()


def _coloured(cell: str, width: int) -> str:
    colour = _COLOUR_OF.get(cell)
    # Colour after padding: the escape sequences have no width.
    return click.style(cell, fg=colour) + " " * (width - len(cell)) if colour else cell.ljust(width)


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
