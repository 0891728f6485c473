"""The Kubernetes programs of the local super cluster, gathered in one folder by their names."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vcluster.local.components import SERVICES
from vcluster.local.state import State, StateError
from vcluster.supervision import host

ENVIRONMENT_VARIABLE = "VC_BINARIES"

FOR_PEOPLE_AND_TENANTS = ("etcdctl", "kube-apiserver", "kube-controller-manager", "kubectl")
"""Needed whatever the super cluster is: the tenants' control planes, and what drives them."""


def assemble_programs(state: State, names: Sequence[str], report: Callable[[str], None]) -> None:
    """Obtain the programs and link them in ``state.binaries``."""
    needed = sorted({*names, *FOR_PEOPLE_AND_TENANTS} - set(SERVICES))
    host.private_directory(state.binaries)
    folder = os.environ.get(ENVIRONMENT_VARIABLE)
    if folder:
        _link(state.binaries, {name: Path(folder) / name for name in needed})
        return
    from vcluster import binaries

    binaries.assemble(state.binaries, binaries.ensure(needed, report))


def _link(directory: Path, programs: dict[str, Path]) -> None:
    for name, program in programs.items():
        if not os.access(program, os.X_OK):
            msg = f"{ENVIRONMENT_VARIABLE} names a folder without a program {name}: {program}"
            raise StateError(msg)
        link = directory / name
        if link.is_symlink() and link.readlink() == program:
            continue
        temporary = directory / f".{name}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(program)
        temporary.replace(link)
