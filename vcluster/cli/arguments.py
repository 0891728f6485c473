"""The arguments that several commands share, and how they complete."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from vcluster.cli.connection import DEFAULT_NAMESPACE, Target

_Command = TypeVar("_Command", bound=Callable[..., Any])

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")


def seconds(text: str) -> float:
    """A duration, written ``90``, ``90s``, ``2m`` or ``1m30s``. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not text or "".join(f"{number}{unit}" for number, unit in parts) != text:
        message = f"{text!r} is no duration; write 90s, 2m or 1m30s"
        raise ValueError(message)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def tenant_argument(command: _Command) -> _Command:
    """The argument NAME, of a tenant that exists."""
    return click.argument("name", shell_complete=_complete_tenant)(command)


def namespace_option(command: _Command) -> _Command:
    """The option -n/--namespace, of the super cluster."""
    return click.option(
        "-n",
        "--namespace",
        default=DEFAULT_NAMESPACE,
        show_default=True,
        shell_complete=_complete_namespace,
        help="Where the tenant's object is.",
    )(command)


def timeout_option(command: _Command) -> _Command:
    """The option --timeout, in seconds."""
    return click.option(
        "--timeout",
        callback=_duration,
        default="2m",
        show_default=True,
        metavar="DURATION",
        help="How long to wait at most.",
    )(command)


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _complete_tenant(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    namespace = context.params.get("namespace") or DEFAULT_NAMESPACE
    return [
        CompletionItem(metadata["name"], help=phase)
        for metadata, phase in _tenants(context)
        if metadata["namespace"] == namespace and metadata["name"].startswith(incomplete)
    ]


def _complete_namespace(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    namespaces = {metadata["namespace"] for metadata, _ in _tenants(context)}
    return [CompletionItem(name) for name in sorted(namespaces) if name.startswith(incomplete)]


def _tenants(context: click.Context) -> list[tuple[dict[str, Any], str]]:
    from vcluster.cli.lookup import tenants_quickly

    given = {
        name: context.params.get(name) or "" for name in ("kubeconfig", "context", "state_dir")
    }
    return tenants_quickly(Target(**given))
