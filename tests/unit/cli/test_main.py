"""The group of commands: quick, complete, and never a traceback unless asked for."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from vcluster.cli.main import COMMANDS as COMMANDS_BY_HEADING
from vcluster.cli.main import COMPLETE_VARIABLE, program

COMMANDS = [name for commands in COMMANDS_BY_HEADING.values() for name in commands]
HEAVY = ("kubernetes", "yaml", "msgspec", "aiohttp", "vcluster.api", "vcluster.local.state")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run in a new interpreter."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_help_lists_every_command() -> None:
    assert len(COMMANDS) >= 14
    result = CliRunner().invoke(program, ["--help"])
    assert result.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in result.output] == []


def test_help_imports_no_command_and_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from vcluster.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print([name for name in sys.modules], file=sys.stderr)\n"
    )
    modules = python("-c", script).stderr
    assert "'vcluster.cli.main'" in modules
    assert [name for name in HEAVY if f"'{name}'" in modules] == []
    assert [name for name in COMMANDS if f"'vcluster.cli.{name}'" in modules] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str) -> None:
    result = CliRunner().invoke(program, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: program {name}")


def test_a_misspelt_command_is_answered_with_the_near_one() -> None:
    result = CliRunner().invoke(program, ["descibe", "x"])
    assert result.exit_code == 2
    assert "'describe'" in result.stderr


@pytest.mark.parametrize(
    ("program_name", "shown"), [("vc", "Usage: vc "), ("kubectl-vc", "Usage: kubectl vc ")]
)
def test_the_usage_shows_what_was_typed(program_name: str, shown: str, tmp_path: Path) -> None:
    script = tmp_path / program_name
    script.write_text("from vcluster.cli import main\nmain()\n")
    assert python(str(script), "list", "--help").stdout.startswith(shown)


def test_commands_complete_without_being_imported() -> None:
    completed = ShellComplete(program, {}, "vc", COMPLETE_VARIABLE).get_completions([], "de")
    assert [item.value for item in completed] == ["describe", "delete"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_asks_vc(shell: str) -> None:
    result = CliRunner().invoke(program, ["completion", shell])
    assert result.exit_code == 0
    assert f"{COMPLETE_VARIABLE}={shell}_complete" in result.output


def test_version_is_told_in_json() -> None:
    result = CliRunner().invoke(program, ["version", "-o", "json"])
    assert result.exit_code == 0
    assert '"kubernetesVersion": "v1.37.2"' in result.output
