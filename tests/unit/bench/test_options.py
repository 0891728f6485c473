"""Options are checked, and a run can be repeated from its command."""

import shlex

import pytest

from tests.bench.options import FULL, QUICK, parse


def test_defaults() -> None:
    assert parse([]) == FULL
    assert parse(["--quick"]) == QUICK
    assert FULL.command == "make bench"


@pytest.mark.parametrize(
    "arguments",
    [["--quick"], ["--quick", "--pods", "7"], ["--pods", "100", "--paced-rate", "7.5"]],
)
def test_the_command_repeats_the_run(arguments: list[str]) -> None:
    options = parse(arguments)
    assert parse(shlex.split(options.command)[3:]) == options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tenants", "1"], "--tenants must be between 2 and 50"),
        (["--pods", "0"], "--pods must be between 1 and 10000"),
        (["--paced-rate", "0"], "--paced-rate must be between 0.1 and 1000"),
        (["--memory-pods", "9999"], "--memory-pods must be between 1 and 4000"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err
