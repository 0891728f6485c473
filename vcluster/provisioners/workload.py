"""What every provisioner can run: a program with its files, and where it will run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a tenant's control plane runs: known before anything of it is rendered, and for ever."""

    directory: Path
    """Where the programs find their files."""
    address: str
    ports: Mapping[str, int]
    """By the component's name."""

    def path(self, file: str) -> str:
        """The absolute path of one of the files, for a command line."""
        return str(self.directory / file)


@dataclass(frozen=True, slots=True)
class Workload:
    """One program of a control plane, rendered."""

    name: str
    program: str
    """The file name of the program, for example ``kube-apiserver``."""
    arguments: tuple[str, ...]
    """Never secrets: command lines are public."""
    files: Mapping[str, bytes]
    """By path below the placement's directory."""
    reloaded: frozenset[str] = frozenset()
    """The files that the program reads again by itself when they change."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stop_seconds: int = 10

    @property
    def restarted_by(self) -> Mapping[str, bytes]:
        """The files whose change asks for a restart."""
        return {name: data for name, data in self.files.items() if name not in self.reloaded}
