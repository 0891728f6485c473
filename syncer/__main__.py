"""``python -m syncer``, also installed as ``syncer``."""

import asyncio
import signal
import sys

import structlog

from syncer.app import App
from syncer.runtime import program
from syncer.runtime.history import history_lost
from syncer.settings import Settings

log = structlog.get_logger(__name__)

USAGE = """usage: syncer

Mirrors the objects of all tenants between their API servers and the super cluster. Takes no
arguments: it is told by environment variables named SYNCER_*, see docs/operations.md.
"""


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 2 if the environment is wrong."""
    settings, credentials = program.begin("syncer", USAGE, Settings.from_environment)
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
