"""The ways into a cluster: helm, and kubectl with what a project publishes for it."""

from dataclasses import dataclass
from pathlib import Path

from tests.charts.model import Tools
from tests.charts.prepare import edit

HERE = Path(__file__).parent
PATIENCE = "300s"
"""A first start, with all that a chart's hooks do, on machines that build something else."""
KUBECTL_PATIENCE = "240s"
"""Less than one command may take, so that it is kubectl that says what is missing."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart in the project's sources, with its own values but those in ``values/NAME.yaml``."""

    release: str
    folder: str
    namespace: str
    values: str = ""

    def install(self, tools: Tools) -> None:
        """With helm's own wait."""
        values = ("--values", str(HERE / "values" / self.values)) if self.values else ()
        where = ("--namespace", self.namespace, "--create-namespace")
        wait = ("--wait", "--wait-for-jobs", "--timeout", PATIENCE)
        chart = str(tools.sources / self.folder)
        tools.helm("upgrade", "--install", self.release, chart, *where, *values, *wait)

    def remove(self, tools: Tools) -> None:
        """Hooks too."""
        where = ("--namespace", self.namespace)
        wait = ("--ignore-not-found", "--wait", "--timeout", PATIENCE)
        tools.helm("uninstall", self.release, *where, *wait)


@dataclass(frozen=True, slots=True)
class Created:
    """The chart that `helm create` writes, installed like any other."""

    chart: Chart

    def install(self, tools: Tools) -> None:
        """Its test's image gets a tag: without one, kubelets ask a registry each time."""
        folder = tools.sources / self.chart.folder
        if not folder.exists():
            tools.helm("create", str(folder))
            test = folder / "templates/tests/test-connection.yaml"
            edit(test, r"image: busybox$", "image: busybox:1.37.0")
        self.chart.install(tools)

    def remove(self, tools: Tools) -> None:
        """As any chart."""
        self.chart.remove(tools)


@dataclass(frozen=True, slots=True)
class Manifests:
    """A kustomization in the project's sources."""

    folder: str
    namespace: str

    def install(self, tools: Tools) -> None:
        """Server-side: the definitions of resources are too long for an annotation."""
        folder = str(tools.sources / self.folder)
        tools.cluster.kubectl("apply", "--server-side", "-k", folder)
        where = ("--namespace", self.namespace)
        available = ("--for=condition=Available", f"--timeout={KUBECTL_PATIENCE}")
        tools.cluster.kubectl("wait", "deployment", "--all", *where, *available)

    def remove(self, tools: Tools) -> None:
        """Its namespace too, if it brings one."""
        folder = str(tools.sources / self.folder)
        gone = ("--ignore-not-found", f"--timeout={KUBECTL_PATIENCE}")
        tools.cluster.kubectl("delete", "-k", folder, *gone)
