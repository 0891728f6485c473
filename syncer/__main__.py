"""``python -m syncer``, also installed as ``syncer``."""

import asyncio
import os
import signal
import sys

import msgspec
import structlog

from kube.connection import InvalidKubeconfig, super_credentials
from syncer.app import App
from syncer.runtime.history import history_lost
from syncer.runtime.logs import log_to_stdout
from syncer.settings import Settings

log = structlog.get_logger(__name__)

USAGE = """usage: syncer

Mirrors the objects of all tenants between their API servers and the super cluster. Takes no
arguments: it is told by environment variables named SYNCER_*, see docs/operations.md.
"""


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 2 if the environment is wrong."""
    if len(sys.argv) > 1:
        print(USAGE, end="")
        sys.exit(0 if sys.argv[1] in ("-h", "--help") else 2)
    try:
        settings = Settings.from_environment(os.environ)
        credentials = super_credentials(settings.super_kubeconfig, os.environ)
        log_to_stdout(settings.log_level)
    except (msgspec.ValidationError, InvalidKubeconfig, KeyError) as error:
        print(f"syncer: the environment is wrong: {error}", file=sys.stderr)
        sys.exit(2)
    asyncio.run(_until_told_to_stop(App(settings, credentials)))


async def _until_told_to_stop(app: App) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.leave)
    try:
        await app.run()
    except ExceptionGroup as group:
        if (reason := history_lost(group)) is None:
            raise
        log.error("begins anew: the super cluster was restored to an earlier state", reason=reason)
        sys.exit(1)


if __name__ == "__main__":
    main()
