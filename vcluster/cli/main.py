"""The group of all commands. Each is imported only when it is run, so that --help is quick."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from vcluster.cli.output import Failure, is_verbose, verbose_option

TENANTS, LOCAL, OTHER = "Tenants", "Local super cluster", "Other"

COMMANDS = {
    TENANTS: {
        "create": "Create a tenant and wait until it is ready.",
        "list": "List tenants.",
        "describe": "Show all about one tenant.",
        "delete": "Delete a tenant and everything in it.",
        "kubeconfig": "Print or save a tenant's kubeconfig.",
        "connect": "Open a shell, or run a command, inside a tenant.",
        "top": "Show what tenants use: pods, GPUs, memory, CPU.",
    },
    LOCAL: {
        "up": "Start a super cluster on this machine.",
        "down": "Stop it; --purge deletes its data.",
        "status": "Show its processes.",
        "logs": "Print the log of one of its components.",
        "images": "Put container images into its real nodes.",
        "binaries": "List and obtain the Kubernetes programs it needs.",
    },
    OTHER: {
        "completion": "Print the completion script of a shell.",
        "version": "Print the version.",
    },
}
"""By heading: command and one line of help. The command ``up`` is ``up`` of vcluster.cli.up."""

_SUMMARIES = {name: text for commands in COMMANDS.values() for name, text in commands.items()}
_MODULES = {name: f"vcluster.cli.{name}" for name in _SUMMARIES}
_ATTRIBUTES = {"list": "list_tenants"}
_INTERRUPTED = 130
COMPLETE_VARIABLE = "_VC_COMPLETE"


class LazyGroup(click.Group):
    """Knows the commands by name; turns every exception into one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the help."""
        return list(_SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module now."""
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(_MODULES[cmd_name])
        command: click.Command = getattr(module, _ATTRIBUTES.get(cmd_name, cmd_name))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As usual, but a misspelt name is answered with the ones it may mean."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(
                error.command_name, possibilities=_SUMMARIES, ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        for heading, commands in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()), col_max=14)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, without importing any."""
        found = [
            CompletionItem(name, help=text)
            for name, text in _SUMMARIES.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. With --verbose, show also where it failed."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError) as error:
            if isinstance(error, Failure) and error.__cause__ is not None:
                _trace(ctx)
            raise
        except KeyboardInterrupt:
            click.echo(err=True)
            return ctx.exit(_INTERRUPTED)
        except Exception as error:
            _trace(ctx)
            from vcluster.cli.failures import explain

            raise explain(error) from error


def _trace(ctx: click.Context) -> None:
    if is_verbose(ctx):
        import traceback

        traceback.print_exc()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Run 'COMMAND --help' for more about a command.",
)
@verbose_option
def program() -> None:
    """Give every team its own Kubernetes control plane on one shared cluster."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The programs ``vc`` and ``kubectl-vc``; ends the process."""
    name = Path(sys.argv[0]).name
    # kubectl runs its plugin kubectl-vc for "kubectl vc": show what people typed.
    shown = "kubectl vc" if name == "kubectl-vc" else "vc"
    program.main(args=arguments, prog_name=shown, complete_var=COMPLETE_VARIABLE)
