"""Steps, with a stand-in for kubectl that says what an API server would."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.charts.steps import Apply, Refused, Says
from tests.e2e.local_system import Cluster


@dataclass(frozen=True)
class Hands:
    """Tools without helm."""

    cluster: Cluster
    sources: Path

    def helm(self, *args: str) -> str:
        """Nothing here uses it."""
        raise AssertionError(args)


def hands(folder: Path, *answers: str) -> Hands:
    """A kubectl that gives each answer once, in shell, and the last again and again."""
    for number, answer in enumerate(answers):
        (folder / f"{number}.sh").write_text(answer)
    program = folder / "kubectl"
    program.write_text(
        f"#!/bin/sh\ncd {folder}\nlast={len(answers) - 1}\nn=$(cat n 2>/dev/null || echo 0)\n"
        "echo $((n + 1)) > n\n[ $n -gt $last ] && n=$last\n. ./$n.sh\n"
    )
    program.chmod(0o755)
    return Hands(Cluster(program, folder / "kubeconfig"), folder)


def calls(folder: Path) -> int:
    return int((folder / "n").read_text())


def test_a_webhook_that_does_not_serve_yet_is_waited_for(tmp_path: Path) -> None:
    not_yet = "echo 'failed calling webhook: x509' >&2; exit 1"
    Apply("jobset.yaml").run(hands(tmp_path, not_yet, not_yet, "exit 0"))
    assert calls(tmp_path) == 3


def test_a_refusal_is_final(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="you may not"):
        Apply("jobset.yaml").run(hands(tmp_path, "echo 'you may not' >&2; exit 1"))
    assert calls(tmp_path) == 1


def test_a_webhook_that_never_serves_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="x509"):
        Apply("jobset.yaml", seconds=0).run(
            hands(tmp_path, "echo 'failed calling webhook: x509' >&2; exit 1")
        )


def test_being_refused_is_not_the_same_as_failing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is refused"):
        Refused("jobset.yaml", "no label", seconds=0).run(
            hands(tmp_path, "echo 'connection refused' >&2; exit 1")
        )


def test_a_refusal_may_come_late(tmp_path: Path) -> None:
    Refused("jobset.yaml", "no label").run(
        hands(tmp_path, "exit 0", "echo 'denied: no label' >&2; exit 1")
    )
    assert calls(tmp_path) == 2


def test_what_was_said_last_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="something else"):
        Says(("top",), "%", seconds=0).run(hands(tmp_path, "echo something else"))
