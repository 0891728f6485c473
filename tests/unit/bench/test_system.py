"""The bench touches only a folder of its own, one run at a time."""

import fcntl
from pathlib import Path

import pytest

from tests.bench.system import BenchError, System


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with (
        pytest.raises(BenchError, match="holds what is not the bench's"),
        System(tmp_path).held(keep=False),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "bench.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(BenchError, match="another bench runs"),
            System(tmp_path).held(keep=True),
        ):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["bench.lock"]
