"""Who holds a namespace, and children that end with their parents."""

import os
import sys
from pathlib import Path

import pytest

from vcluster.local.real_nodes.namespaces import Holder, exit_code, spawn


def test_a_holder_is_found_while_it_lives(tmp_path: Path) -> None:
    file = tmp_path / "holder.json"
    reading, writing = os.pipe()

    def wait_for_the_end_of_writing() -> None:
        os.close(writing)
        os.read(reading, 1)

    child = spawn(wait_for_the_end_of_writing)
    os.close(reading)
    holder = Holder.of(child)
    holder.write(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert Holder.read(file) == holder
    os.close(writing)
    assert exit_code(os.waitpid(child, 0)[1]) == 0
    assert Holder.read(file) is None


def test_another_process_of_the_same_number_is_another_one(tmp_path: Path) -> None:
    file = tmp_path / "holder.json"
    Holder(os.getpid(), Holder.of(os.getpid()).started - 1).write(file)
    assert Holder.read(file) is None


@pytest.mark.parametrize("content", ["", "{}", '{"pid": "x"}'])
def test_a_damaged_file_names_nobody(tmp_path: Path, content: str) -> None:
    file = tmp_path / "holder.json"
    file.write_text(content)
    assert Holder.read(file) is None


def test_a_child_becomes_its_command_and_gives_its_code() -> None:
    child = spawn(lambda: None, (sys.executable, "-c", "raise SystemExit(7)"))
    assert exit_code(os.waitpid(child, 0)[1]) == 7


def test_a_child_that_fails_never_returns_into_our_code(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise RuntimeError("no such place")

    child = spawn(fail, ("true",))
    assert exit_code(os.waitpid(child, 0)[1]) == 1
    assert "no such place" in capfd.readouterr().err
