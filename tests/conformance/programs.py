"""The tests themselves, ginkgo and what runs in images, built from the Kubernetes Go module that we pin."""

import os
import subprocess
from pathlib import Path

from vcluster.api import KUBERNETES_VERSION
from vcluster.binaries.catalog import PROJECTS

MODULE = Path(__file__).parent / "module"
"""Its go.mod pins the sources; programs.go names the packages."""
GINKGO = "github.com/onsi/ginkgo/v2/ginkgo"
AGNHOST = "k8s.io/kubernetes/test/images/agnhost"
SAMPLE = "k8s.io/sample-apiserver"
TESTS = "k8s.io/kubernetes/test/e2e"


def build(folder: Path) -> None:
    """Put the programs into ``folder``, unless they are there.

    Takes Go and, the first time, some minutes of two cores. Raises CalledProcessError.
    """
    target = folder / KUBERNETES_VERSION
    names = ("ginkgo", "agnhost", "sample-apiserver", "e2e.test")
    if not all((target / name).exists() for name in names):
        target.mkdir(parents=True, exist_ok=True)
        flags = next(project.linker_flags for project in PROJECTS if project.name == "kubernetes")
        _go("build", "-trimpath", "-ldflags", "-s -w", "-o", f"{target}/", GINKGO, AGNHOST, SAMPLE)
        _go(
            "test",
            "-c",
            "-vet=off",
            "-trimpath",
            "-ldflags",
            flags,
            "-o",
            f"{target}/e2e.test",
            TESTS,
        )


def agnhost(folder: Path) -> Path:
    """The program of that name alone, where ``build`` would put it. Raises CalledProcessError."""
    target = folder / KUBERNETES_VERSION / "agnhost"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _go("build", "-trimpath", "-ldflags", "-s -w", "-o", str(target), AGNHOST)
    return target


def sources() -> Path:
    """Where Go keeps the sources of Kubernetes."""
    return Path(_go("list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").strip())


def _go(*arguments: str) -> str:
    own = {"GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    command = ["go", *arguments]
    environment = os.environ | own
    done = subprocess.run(
        command, cwd=MODULE, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout
