"""What is done and awaited in a tenant, by kubectl, as a person would."""

from dataclasses import dataclass
from pathlib import Path

from tests.charts.model import Tools
from tests.e2e.local_system import KubectlFailed, wait_for

HERE = Path(__file__).parent
MANIFESTS = HERE / "manifests"
NOT_YET = ("failed calling webhook", "no matches for kind")
"""A webhook's Pod is ready before it has been given its certificate's authority; so anywhere."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Objects are taken, as soon as the webhooks that see them serve."""

    file: str
    seconds: float = 90

    def run(self, tools: Tools) -> None:
        """AssertionError with what was said."""

        def taken() -> bool:
            done = tools.cluster.run("apply", "-f", str(MANIFESTS / self.file))
            if done.returncode and any(text in done.stderr for text in NOT_YET):
                raise KubectlFailed(done.stderr)
            assert not done.returncode, f"apply {self.file}: {done.stderr}"
            return True

        wait_for(f"{self.file} is taken", taken, self.seconds)


@dataclass(frozen=True, slots=True)
class Refused:
    """Objects are not taken, in these words."""

    file: str
    words: str
    seconds: float = 90

    def run(self, tools: Tools) -> None:
        """A trial run, so that nothing is there if the refusal comes into force late."""

        def refused() -> bool:
            path = str(MANIFESTS / self.file)
            done = tools.cluster.run("apply", "--dry-run=server", "-f", path)
            if not done.returncode or self.words not in done.stderr:
                raise KubectlFailed(done.stdout + done.stderr)
            return True

        wait_for(f"{self.file} is refused: {self.words}", refused, self.seconds)


@dataclass(frozen=True, slots=True)
class Wait:
    """An object comes, and then becomes what ``condition`` says, in kubectl's words."""

    target: str
    condition: str
    namespace: str = "default"
    seconds: int = 180

    def run(self, tools: Tools) -> None:
        """AssertionError that shows the object's state."""
        where, patience = ("-n", self.namespace), f"--timeout={self.seconds}s"
        tools.cluster.kubectl("wait", self.target, "--for=create", *where, patience)
        tools.cluster.kubectl("wait", self.target, f"--for={self.condition}", *where, patience)


@dataclass(frozen=True, slots=True)
class Says:
    """A command of kubectl comes to print these words."""

    command: tuple[str, ...]
    words: str
    seconds: float = 120

    def run(self, tools: Tools) -> None:
        """AssertionError with what it printed last."""

        def said() -> bool:
            printed = tools.cluster.kubectl(*self.command)
            if self.words not in printed:
                raise KubectlFailed(f"it says {printed!r}")
            return True

        wait_for(f"kubectl {' '.join(self.command)} says {self.words}", said, self.seconds)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A command of kubectl succeeds."""

    command: tuple[str, ...]

    def run(self, tools: Tools) -> None:
        """AssertionError with what it said."""
        tools.cluster.kubectl(*self.command)


@dataclass(frozen=True, slots=True)
class Helm:
    """A command of helm succeeds; ``CHART`` in it stands for the folder of that name."""

    command: tuple[str, ...]
    chart: str = ""

    def run(self, tools: Tools) -> None:
        """AssertionError with what it said."""
        chart = str(tools.sources / self.chart)
        tools.helm(*(chart if word == "CHART" else word for word in self.command))
