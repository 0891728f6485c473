"""`vc up`: a super cluster on this machine."""

from pathlib import Path
from typing import Any

import click

from vcluster.cli.output import Failure, say

STATE_DIR_HELP = "Where everything is kept (default: $VC_STATE_DIR, else the user's state folder)."


@click.command()
@click.option("--state-dir", type=click.Path(path_type=Path), help=STATE_DIR_HELP)
@click.option("--cpu-nodes", type=int, help="Simulated nodes without GPUs (default 4).")
@click.option("--gpu-nodes", type=int, help="Simulated nodes with GPUs (default 15).")
@click.option("--gpus-per-node", type=int, help="GPUs of each of them (default 4).")
@click.option("--gpu-product", help="The product's name, as NVIDIA's labels say it.")
@click.option(
    "--real-nodes",
    type=int,
    help="Nodes that run pods for real, in containers (default 0; needs Linux and root).",
)
@click.option(
    "--pod-start-delay",
    type=float,
    help="Seconds until a bound pod runs, on average (default 0.5).",
)
@click.option("--syncers", type=int, help="How many syncers share the tenants (default 1).")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Use this existing cluster as super cluster instead of a local one.",
)
@click.option("--foreground", is_flag=True, help="Stay, and stop everything on Ctrl-C.")
def up(state_dir: Path | None, foreground: bool, kubeconfig: Path | None, **options: Any) -> None:
    """Start a super cluster with simulated nodes, the operator and the syncer on this machine.

    With --real-nodes it also has nodes that run pods, in namespaces of their own: kubelet, containerd
    and kube-proxy. To run pods on these only, ask for 0 simulated ones.

    Done again, it changes nothing; after a restart of the machine it finds everything again, the
    tenants too. Options are remembered; given anew they change what runs.
    """
    from vcluster.local.state import State
    from vcluster.local.up import up as bring_up

    given = {name: value for name, value in options.items() if value is not None}
    if kubeconfig is not None:
        given["kubeconfig"] = str(kubeconfig.absolute())
    state = State.find(state_dir)
    try:
        with explained():
            bring_up(state, given, say)
    except KeyboardInterrupt:
        if foreground:
            _stop(state)
        raise
    say(f"Up. KUBECONFIG={state.super_kubeconfig()} is the super cluster's administrator.")
    if foreground:
        _stay(state)


class explained:  # noqa: N801
    """Turns the errors of the local system into one sentence and a hint."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raises Failure in place of what we know."""
        from vcluster.binaries import BinariesError
        from vcluster.control_plane.cluster import ApiError, Unreachable
        from vcluster.local.datastore import EtcdError
        from vcluster.local.options import OptionsError
        from vcluster.local.real_nodes.commands import CommandError
        from vcluster.local.real_nodes.images import ImageError
        from vcluster.local.real_nodes.requirements import MissingRequirement
        from vcluster.local.state import StateError
        from vcluster.local.up import NotReady
        from vcluster.supervision import SupervisionError

        if isinstance(error, OptionsError | StateError | MissingRequirement | ImageError):
            raise Failure(str(error)) from error
        if isinstance(error, BinariesError):
            raise Failure(error.message, error.hint) from error
        if isinstance(error, NotReady | EtcdError | SupervisionError | CommandError | TimeoutError):
            raise Failure(str(error), "vc status and vc logs COMPONENT show more") from error
        if isinstance(error, ApiError | Unreachable):
            raise Failure(f"the super cluster: {error}", "vc logs kube-apiserver") from error


def _stay(state: Any) -> None:
    import signal

    say("Ctrl-C stops it.")
    wanted = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    signal.sigwait(wanted)
    _stop(state)


def _stop(state: Any) -> None:
    from vcluster.local.down import down

    say("stopping")
    with explained():
        down(state, purge=False)
