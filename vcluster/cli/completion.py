"""``vc completion``: what a shell needs to complete commands, options and tenants' names."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  source <(vc completion bash)
    zsh:   source <(vc completion zsh)
    fish:  vc completion fish | source
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.BadParameter(f"click does not know the shell {shell!r}")
    from vcluster.cli.main import COMPLETE_VARIABLE, program

    # Not found.source(): for bash that starts a bash to ask for its version.
    made = found(program, {}, "vc", COMPLETE_VARIABLE)
    click.echo(made.source_template % made.source_vars())
