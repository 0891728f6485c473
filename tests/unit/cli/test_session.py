"""``vc connect``'s child: its kubeconfig is private and goes with it; its exit code comes back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vcluster.cli import session

CHILD = (
    "import sys\n"
    "from vcluster.cli import session\n"
    "import os\n"
    "sys.exit(session.run(sys.argv[1:], b'the kubeconfig', 'team-a', os.environ))\n"
)


def until(what: str, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until it holds; AssertionError that names it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.02)  # between two looks


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where private directories are made."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def run(*words: str) -> int:
    """In this process."""
    return session.run(words, b"the kubeconfig", "team-a", os.environ)


def start(*words: str) -> subprocess.Popen[bytes]:
    """In a process of its own, to be killed."""
    return subprocess.Popen([sys.executable, "-c", CHILD, *words])


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)])
def test_the_exit_code_is_the_commands(runtime: Path, script: str, code: int) -> None:
    assert run("sh", "-c", script) == code
    assert list(runtime.iterdir()) == []


def test_the_kubeconfig_is_private(runtime: Path) -> None:
    out = runtime / "out"
    run(
        "sh",
        "-c",
        f'stat -c %a "$KUBECONFIG" "$(dirname "$KUBECONFIG")" > {out}; cat "$KUBECONFIG" >> {out}',
    )
    assert out.read_text() == "600\n700\nthe kubeconfig"


def test_a_program_that_is_not_there_is_said(runtime: Path) -> None:
    with pytest.raises(session.CannotRun, match="'no-such-program'") as error:
        run("no-such-program")
    assert error.value.exit_code == 127
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_child_and_leaves_nothing(runtime: Path, number: int) -> None:
    mark = runtime / "mark"
    process = start("sh", "-c", f"echo $$ > {mark}; exec sleep 60")
    until("the child runs", lambda: mark.exists() and bool(mark.read_text()))
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert [path for path in runtime.iterdir() if path != mark] == []


def test_what_a_killed_run_left_goes_with_the_next_one(runtime: Path) -> None:
    mark = runtime / "mark"
    process = start("sh", "-c", f"echo $$ > {mark}; exec sleep 60")
    until("the child runs", lambda: mark.exists() and bool(mark.read_text()))
    process.kill()
    process.wait()
    left = [path for path in runtime.iterdir() if path != mark]
    assert len(left) == 1
    run("true")
    assert left[0].exists(), "the child that outlived vc still uses it"
    child = int(mark.read_text())
    os.kill(child, signal.SIGKILL)
    until("the child is gone", lambda: not is_running(child))
    run("true")
    assert not left[0].exists()


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only its remains."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_bash_shows_the_tenant_in_its_prompt(tmp_path: Path) -> None:
    words, _ = session.shell("team-a", tmp_path, {"SHELL": "/bin/bash"})
    (tmp_path / ".bashrc").write_text("PS1='own> '")
    shown = subprocess.run(
        [*words, "-i", "-c", 'printf %s "$PS1"'],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout == "(team-a) own> "


@pytest.mark.parametrize("program", ["/bin/zsh", "/usr/bin/fish", "/bin/sh"])
def test_other_shells_show_it_too(program: str, tmp_path: Path) -> None:
    words, variables = session.shell("team-a", tmp_path, {"SHELL": program, "HOME": "/home/me"})
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert words[0] == program
    assert "(team-a)" in f"{words} {variables} {written}"
