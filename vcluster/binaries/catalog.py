"""Which programs are needed, in which version, and where they come from: the one place to change.

To move to another version change it here, update go.mod and go.sum of its folder under
``modules/``, and put the SHA-256 of the new release files, as their project publishes them, into
``checksums.json`` (official URL → 64 hexadecimal digits). A file without a pin is never downloaded.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vcluster.api import KUBERNETES_VERSION

MODULES = Path(__file__).parent / "modules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One executable file, and how it is asked for its version."""

    name: str
    package: str
    """The Go package of its main function."""
    version_arguments: tuple[str, ...] = ("--version",)
    version_pattern: str
    """A regular expression for the answer; its group 1 is the version, with or without a "v"."""

    @property
    def built_name(self) -> str:
        """What ``go build`` calls the file: the package's last element, but never a major version."""
        *parents, last = self.package.split("/")
        return parents[-1] if parents and re.fullmatch(r"v[0-9]+", last) else last


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Where a project publishes its programs: each as a file, or all in one archive."""

    base: str
    """The part of the URL that a mirror replaces."""
    file: str
    """The rest; may hold {version}, {number} (without its "v"), {system}, {architecture}, {program}."""
    archived: bool = False
    """The file is a .tar.gz that holds the programs."""

    def path(self, version: str, system: str, architecture: str, program: str) -> str:
        """The file's path below ``base`` (and below a mirror)."""
        return self.file.format(
            version=version,
            number=version.removeprefix("v"),
            system=system,
            architecture=architecture,
            program=program,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Programs that are released together, in one version."""

    name: str
    version: str
    programs: tuple[Program, ...]
    release: Release
    module: Path
    """The folder whose go.mod and go.sum pin the sources."""
    linker_flags: str = "-s -w"

    def select(self, names: Iterable[str]) -> Sequence[Program]:
        """Those of its programs that have one of these names."""
        wanted = set(names)
        return [program for program in self.programs if program.name in wanted]


def _kubernetes() -> Project:
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    stamps = {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    flags = (f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps.items())
    servers = (
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
    )
    kubectl = Program(
        name="kubectl",
        package="k8s.io/kubernetes/cmd/kubectl",
        version_arguments=("version", "--client"),
        version_pattern=r"Client Version: (\S+)",
    )
    programs = (
        Program(
            name=name, package=f"k8s.io/kubernetes/cmd/{name}", version_pattern=r"Kubernetes (\S+)"
        )
        for name in servers
    )
    return Project(
        name="kubernetes",
        version=KUBERNETES_VERSION,
        programs=(*programs, kubectl),
        release=Release(
            base="https://dl.k8s.io",
            file="release/{version}/bin/{system}/{architecture}/{program}",
        ),
        module=MODULES / "kubernetes",
        linker_flags=" ".join(("-s -w", *flags)),
    )


_ETCD = Project(
    name="etcd",
    version="v3.7.3",
    programs=(
        Program(
            name="etcd",
            package="go.etcd.io/etcd/server/v3",
            version_pattern=r"etcd Version: (\S+)",
        ),
        Program(
            name="etcdctl",
            package="go.etcd.io/etcd/etcdctl/v3",
            version_arguments=("version",),
            version_pattern=r"etcdctl version: (\S+)",
        ),
    ),
    release=Release(
        base="https://github.com/etcd-io/etcd/releases/download",
        file="{version}/etcd-{version}-{system}-{architecture}.tar.gz",
        archived=True,
    ),
    module=MODULES / "etcd",
)

_KWOK_VERSION = "v0.8.0"
_KWOK = Project(
    name="kwok",
    version=_KWOK_VERSION,
    programs=(
        Program(
            name="kwok",
            package="sigs.k8s.io/kwok/cmd/kwok",
            version_pattern=r"kwok version (\S+)",
        ),
    ),
    release=Release(
        base="https://github.com/kubernetes-sigs/kwok/releases/download",
        file="{version}/kwok-{system}-{architecture}",
    ),
    module=MODULES / "kwok",
    linker_flags=f"-s -w -X sigs.k8s.io/kwok/pkg/consts.Version={_KWOK_VERSION}",
)

_COREDNS = Project(
    name="coredns",
    version="v1.15.0",
    programs=(
        Program(
            name="coredns",
            package="github.com/coredns/coredns",
            version_arguments=("-version",),
            version_pattern=r"CoreDNS-(\S+)",
        ),
    ),
    release=Release(
        base="https://github.com/coredns/coredns/releases/download",
        file="{version}/coredns_{number}_{system}_{architecture}.tgz",
        archived=True,
    ),
    module=MODULES / "coredns",
)

PROJECTS = (_kubernetes(), _ETCD, _KWOK, _COREDNS)

REAL_NODE_NAMES = ("kubelet", "kube-proxy", "coredns")
"""The programs that only real nodes need."""

NAMES = tuple(
    program.name
    for project in PROJECTS
    for program in project.programs
    if program.name not in REAL_NODE_NAMES
)
"""All programs of the local super cluster, in the order in which people read them."""
