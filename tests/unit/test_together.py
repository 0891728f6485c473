"""Folders of tests two at a time: what fails is said, and an interrupt ends all of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "tests.together")
ROOT = Path(__file__).parents[2]


def folders(root: Path, **tests: str) -> list[str]:
    """A folder with one test each, by the test's body."""
    for name, body in tests.items():
        (root / name).mkdir()
        (root / name / f"test_{name}.py").write_text(f"def test_{name}():\n    {body}\n")
    return [str(root / name) for name in tests]


def test_one_that_fails_makes_all_fail_and_stops_no_other(tmp_path: Path) -> None:
    wanted = folders(tmp_path, fails="assert False", passes="pass")
    done = subprocess.run(
        [*COMMAND, *wanted], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[-2:] == [f"{wanted[0]}: failed (1)", f"{wanted[1]}: passed"]


def test_an_interrupt_waits_for_those_that_run_and_begins_no_other(tmp_path: Path) -> None:
    forever = "import signal; print('STARTED', flush=True); signal.pause()"
    wanted = folders(tmp_path, one=forever, two=forever, three="pass")
    process = subprocess.Popen(
        [*COMMAND, *wanted],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTEST_ADDOPTS": "-s"},
    )
    try:
        assert process.stdout is not None
        started = 0
        while started < 2:  # both tests are under way
            started += "STARTED" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 1
    assert "three" not in rest
