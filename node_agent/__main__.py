"""``python -m node_agent``, also installed as ``node-agent``."""

from node_agent.app import App
from node_agent.settings import Settings
from syncer.runtime import program

USAGE = """usage: node-agent

Serves the kubelet API of a node to the API servers of all tenants, to each its own pods. Takes no
arguments: it is told by environment variables named NODE_AGENT_*, see docs/operations.md.
"""


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 2 if the environment is wrong."""
    settings, credentials = program.begin("node-agent", USAGE, Settings.from_environment)
    program.run_until_told_to_stop(App(settings, credentials).run)


if __name__ == "__main__":
    main()
