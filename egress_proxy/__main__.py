"""``python -m egress_proxy``, also installed as ``egress-proxy``."""

from egress_proxy.app import App
from egress_proxy.settings import Settings
from syncer.runtime import program

USAGE = """usage: egress-proxy

Connects the API servers of all tenants to pods, services and node agents of their own cluster, and to
nothing else. Takes no arguments: it is told by environment variables named EGRESS_PROXY_*, see
docs/operations.md.
"""


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 2 if the environment is wrong."""
    settings, credentials = program.begin("egress-proxy", USAGE, Settings.from_environment)
    program.run_until_told_to_stop(App(settings, credentials).run)


if __name__ == "__main__":
    main()
