"""``python -m egress_proxy``, also installed as ``egress-proxy``."""

import asyncio
import os
import signal
import sys

import msgspec

from egress_proxy.app import App
from egress_proxy.settings import Settings
from kube.connection import InvalidKubeconfig, super_credentials
from syncer.runtime.logs import log_to_stdout

USAGE = """usage: egress-proxy

Connects the API servers of all tenants to pods, services and node agents of their own cluster, and to
nothing else. Takes no arguments: it is told by environment variables named EGRESS_PROXY_*, see
docs/operations.md.
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
        print(f"egress-proxy: the environment is wrong: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        asyncio.run(_until_told_to_stop(App(settings, credentials)))
    except asyncio.CancelledError:
        pass


async def _until_told_to_stop(app: App) -> None:
    main_task = asyncio.current_task()
    assert main_task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, main_task.cancel)
    await app.run()


if __name__ == "__main__":
    main()
