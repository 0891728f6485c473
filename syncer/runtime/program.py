"""How our services begin and end: told by the environment, stopped by a signal."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol, TypeVar

import msgspec

from kube.connection import CredentialSource, InvalidKubeconfig, super_credentials
from syncer.runtime.logs import log_to_stdout


class Told(Protocol):
    """What the settings of every service have."""

    @property
    def super_kubeconfig(self) -> str:
        """The super cluster's kubeconfig file; empty: the service account of the pod we run in."""

    @property
    def log_level(self) -> str:
        """From which level on records are written."""


Settings = TypeVar("Settings", bound=Told)


def begin(
    name: str, usage: str, read: Callable[[Mapping[str, str]], Settings]
) -> tuple[Settings, CredentialSource]:
    """The settings, and who we are in the super cluster; records go to standard output from now on.

    Ends the process with code 2 if the environment is wrong or there are arguments, with 0 for ``--help``.
    """
    if len(sys.argv) > 1:
        print(usage, end="")
        sys.exit(0 if sys.argv[1] in ("-h", "--help") else 2)
    try:
        settings = read(os.environ)
        credentials = super_credentials(settings.super_kubeconfig, os.environ)
        log_to_stdout(settings.log_level)
    except (msgspec.ValidationError, InvalidKubeconfig, KeyError) as error:
        print(f"{name}: the environment is wrong: {error}", file=sys.stderr)
        sys.exit(2)
    return settings, credentials


def run_until_told_to_stop(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run until SIGTERM or SIGINT, by which the work is cancelled."""
    try:
        asyncio.run(_cancelled_by_signals(work))
    except asyncio.CancelledError:
        pass


async def _cancelled_by_signals(work: Callable[[], Coroutine[None, None, None]]) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await work()
