"""Whatever fails, nothing stays; with a stand-in for kubectl that keeps a list of what is there."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.charts.model import Entry, Module, Tools
from tests.charts.trial import Bench, run
from tests.e2e.local_system import Cluster

KUBECTL = """#!/bin/sh
cd "$(dirname "$0")"
echo "$@" >> calls
[ "$1" = get ] && cat there
exit 0
"""


@dataclass
class Failing:
    """An installation that leaves a definition behind, and fails wherever it is said."""

    there: Path
    fails: tuple[str, ...]
    did: list[str] = field(default_factory=list)

    def install(self, tools: Tools) -> None:
        """Leaves something."""
        self.there.write_text("namespace/default\ncustomresourcedefinition/new\n")
        self._do("install")

    def remove(self, tools: Tools) -> None:
        """Leaves it there."""
        self._do("remove")

    def _do(self, what: str) -> None:
        self.did.append(what)
        if what in self.fails:
            raise AssertionError(f"{what} does not work")


def attempt(folder: Path, *fails: str) -> tuple[str, list[str], str]:
    """The reason, what the installation did, and what kubectl was told."""
    (folder / "there").write_text("namespace/default\n")
    program = folder / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    bench = Bench(folder / "helm", Cluster(program, folder / "c"), folder, {"a": folder})
    installation = Failing(folder / "there", fails)
    entry = Entry(
        name="a",
        module=Module("example.com/a", "v1"),
        installation=installation,
        objects=("jobset.yaml",),
    )
    result = run(bench, entry, (), folder / "log")
    return result.reason, installation.did, (folder / "calls").read_text()


def test_what_helm_leaves_is_deleted(tmp_path: Path) -> None:
    reason, did, told = attempt(tmp_path)
    assert (reason, did) == ("", ["install", "remove"])
    assert "delete customresourcedefinition/new" in told
    assert "namespace/default" not in told


def test_what_failed_is_removed_all_the_same(tmp_path: Path) -> None:
    reason, did, told = attempt(tmp_path, "install", "remove")
    assert reason == "install does not work; remove does not work"
    assert did == ["install", "remove"]
    assert "delete customresourcedefinition/new" in told
    assert "install does not work" in (tmp_path / "log").read_text()
