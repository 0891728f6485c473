"""The Kubernetes programs of the local super cluster, gathered in one folder by their names."""

from collections.abc import Callable, Sequence

from vcluster import binaries
from vcluster.local import components
from vcluster.local.state import State
from vcluster.supervision import host

FOR_PEOPLE_AND_TENANTS = ("etcdctl", "kube-apiserver", "kube-controller-manager", "kubectl")
"""Needed whatever the super cluster is: the tenants' control planes, and what drives them."""


def assemble_programs(state: State, names: Sequence[str], report: Callable[[str], None]) -> None:
    """Obtain the programs and link them in ``state.binaries``. Raises BinariesError."""
    others = {name for name in names if not components.module(name)}
    needed = sorted(others.union(FOR_PEOPLE_AND_TENANTS))
    host.private_directory(state.binaries)
    binaries.assemble(state.binaries, binaries.ensure(needed, report))
