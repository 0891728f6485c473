"""Tables, JSON, YAML, and failures."""

import json

import click
import pytest
import yaml
from click.testing import CliRunner

from vcluster.cli.output import Failure, document, show, table

ROWS = [
    {"name": "team-a", "gpus_used": 4, "phase": "Ready", "secret": "not shown"},
    {"name": "b", "gpus_used": 0, "phase": None},
]


def printed(output: str, *, color: bool = False) -> str:
    """What ``show`` prints."""

    @click.command()
    def command() -> None:
        show(ROWS, ("name", "gpus_used", "phase"), output)

    return CliRunner().invoke(command, color=color).output


def test_a_table_has_headings_and_aligned_columns() -> None:
    assert printed("table").splitlines() == [
        "NAME     GPUS USED   PHASE",
        "team-a   4           Ready",
        "b        0           -",
    ]


def test_json_and_yaml_hold_the_whole_rows() -> None:
    assert json.loads(printed("json")) == ROWS
    assert yaml.safe_load(printed("yaml")) == ROWS


def test_colour_is_for_terminals_only() -> None:
    assert "\x1b[32mReady\x1b[0m" in printed("table", color=True)
    assert "\x1b" not in printed("table")


def test_colour_does_not_move_columns() -> None:
    rows = [{"phase": "Ready", "name": "x"}, {"phase": "Provisioning", "name": "y"}]
    places = [
        click.unstyle(line).rindex(line[-1])
        for line in table(rows, ("phase", "name")).splitlines()[1:]
    ]
    assert len(set(places)) == 1


def test_yaml_keeps_the_order_of_fields() -> None:
    assert document({"b": 1, "a": "ü"}, "yaml") == "b: 1\na: ü"


@pytest.mark.parametrize(("hint", "lines"), [("do that", 2), ("", 1)])
def test_a_failure_is_a_sentence_and_a_hint(hint: str, lines: int) -> None:
    @click.command()
    def command() -> None:
        raise Failure("it broke", hint)

    result = CliRunner().invoke(command)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["Error: it broke", f"Hint:  {hint}"][:lines]
