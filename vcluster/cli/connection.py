"""Which super cluster a command speaks to, and how."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from vcluster.cli.output import Failure, verbose_option

if TYPE_CHECKING:
    from vcluster.cli.super_cluster import SuperCluster

DEFAULT_NAMESPACE = "tenants"

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Source:
    """A kubeconfig (a path, or several as in $KUBECONFIG), and what to say of it."""

    kubeconfig: str
    context: str
    description: str
    """For sentences: ``the local super cluster in /home/...``."""
    unreachable_hint: str


@dataclass(frozen=True, slots=True)
class Target:
    """What the person said about the super cluster; everything may be empty."""

    kubeconfig: str = ""
    context: str = ""
    state_dir: str = ""

    def source(self, environment: Mapping[str, str] = os.environ) -> Source:
        """The rule. Raises Failure if a file that was named is not there.

        First --kubeconfig; then, unless --context is given, the local super cluster of the state
        directory; then the person's own kubeconfig.
        """
        if self.kubeconfig:
            return self._named()
        if not self.context:
            local = self._local(environment)
            if local is not None:
                return local
        return self._own(environment)

    def open(self) -> "SuperCluster":
        """Connect; nothing is sent yet. Raises Failure."""
        from vcluster.cli.super_cluster import SuperCluster

        return SuperCluster.open(self.source())

    def _named(self) -> Source:
        path = Path(self.kubeconfig).expanduser()
        if not path.is_file():
            raise Failure(f"--kubeconfig {self.kubeconfig}: there is no such file")
        return Source(
            str(path),
            self.context,
            f"the super cluster of --kubeconfig {self.kubeconfig}",
            "check that it runs and that the file is its own",
        )

    def _local(self, environment: Mapping[str, str]) -> Source | None:
        from vcluster.local.state import State, StateError

        state = State.find(self.state_dir, environment)
        with_option = f" --state-dir {self.state_dir}" if self.state_dir else ""
        try:
            path = state.super_kubeconfig()
        except StateError as error:
            raise Failure(str(error), "vc down --purge deletes the state") from error
        if state.exists() and path.is_file():
            return Source(
                str(path),
                "",
                f"the local super cluster in {state.directory}",
                f"start it with: vc up{with_option}; or name another one with --kubeconfig",
            )
        if self.state_dir:
            raise Failure(
                f"there is no local super cluster in {state.directory}",
                f"start one with: vc up{with_option}",
            )
        return None

    def _own(self, environment: Mapping[str, str]) -> Source:
        paths = own_kubeconfigs(environment)
        if not any(path.is_file() for path in paths):
            if self.context:
                raise Failure(
                    f"--context {self.context}: your kubeconfig {paths[0]} does not exist",
                    "name another one with --kubeconfig",
                )
            raise Failure(
                "there is no super cluster to speak to: none runs locally, and "
                f"{paths[0]} does not exist",
                "start one with: vc up; or name one with --kubeconfig",
            )
        return Source(
            os.pathsep.join(map(str, paths)),
            self.context,
            f"the super cluster of your kubeconfig {paths[0]}",
            "check its current context, name another with --kubeconfig or --context, "
            "or start a local one with: vc up",
        )


def own_kubeconfigs(environment: Mapping[str, str]) -> list[Path]:
    """The person's kubeconfig files, by kubectl's rules; at least one, which need not exist."""
    listed = [path for path in environment.get("KUBECONFIG", "").split(os.pathsep) if path]
    return [Path(path).expanduser() for path in listed or ["~/.kube/config"]]


def connection_options(
    command: Callable[Concatenate[Target, _Parameters], _Result],
) -> Callable[..., _Result]:
    """The options that choose the super cluster; the command gets them as a Target, first."""

    @click.option("--kubeconfig", metavar="FILE", default="", help="Of the super cluster.")
    @click.option("--context", metavar="NAME", default="", help="A context of your kubeconfig.")
    @click.option(
        "--state-dir",
        metavar="DIRECTORY",
        default="",
        help="Of the local super cluster.  [env: VC_STATE_DIR]",
    )
    @verbose_option
    @functools.wraps(command)
    def run(*args: Any, kubeconfig: str, context: str, state_dir: str, **options: Any) -> _Result:
        return command(Target(kubeconfig, context, state_dir), *args, **options)

    return run
