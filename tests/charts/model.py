"""What an entry of the table says: where a project comes from, how it is installed, what is tried."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.e2e.local_system import Cluster

AGNHOST = "registry.k8s.io/e2e-test-images/agnhost:2.66.1"
"""What the manifests' own pods run, made as `make conformance` makes it."""


class Tools(Protocol):
    """What an installation and its steps act with."""

    @property
    def cluster(self) -> Cluster:
        """The tenant."""

    @property
    def sources(self) -> Path:
        """The project's folder, which may be written to."""

    def helm(self, *args: str) -> str:
        """What helm prints; AssertionError with its message if it fails."""


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module, that also holds the chart or the manifests."""

    path: str
    version: str
    programs: tuple[tuple[str, str], ...] = ()
    """Names, and the packages that they are built from."""
    prepare: Callable[[Path], None] | None = None
    """Does to a copy of the module what its release tool would do, before anything is built."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """An image under the name by which a chart asks for it, made of what is here.

    Each file is a reference and its place: ``program:NAME`` of the module, ``machine:NAME`` of this
    machine, ``system:NAME`` of the local system, ``here:PATH`` beside the table, ``module:FOLDER`` for
    all files of a folder of the module.
    """

    name: str
    files: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = "65532"
    busybox: bool = False


class Installation(Protocol):
    """How a project comes into a cluster, and leaves it."""

    def install(self, tools: Tools) -> None:
        """Return when its Deployments are available."""

    def remove(self, tools: Tools) -> None:
        """Return when it is gone, whatever of it was there."""


class Step(Protocol):
    """Something that is done or awaited; AssertionError that says what is missing."""

    def run(self, tools: Tools) -> None:
        """Return when it is so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of the table."""

    name: str
    module: Module
    installation: Installation
    images: Sequence[StandIn] = ()
    steps: Sequence[Step] = ()
    objects: Sequence[str] = ()
    """The manifests that the steps apply, first first; deleted in reverse before the project is."""
    needs: tuple[str, ...] = ()
    """Entries that are installed first, and removed last."""
