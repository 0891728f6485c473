"""Declaring, restarting exactly what changed, surviving kills: on a real supervisord."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.unit.supervision.conftest import is_alive, wait_until
from vcluster.supervision import Program, SupervisionError, Supervisor, host

Sleeper = Callable[..., Program]


def pids(supervisor: Supervisor, group: str | None = None) -> dict[str, int]:
    return {status.name: status.pid for status in supervisor.statuses(group)}


def restarts(supervisor: Supervisor, name: str) -> int:
    return next(s.restarts for s in supervisor.statuses() if s.name == name)


def test_a_declaration_starts_and_repeating_it_changes_nothing(
    supervisor: Supervisor, sleeper: Sleeper
) -> None:
    programs = [sleeper("a"), sleeper("b")]
    assert supervisor.apply("g", programs)
    before = pids(supervisor)
    assert all(is_alive(pid) for pid in before.values())
    assert not supervisor.apply("g", programs)
    assert pids(supervisor) == before
    assert supervisor.groups() == {"g"}


def test_exactly_what_changed_restarts(supervisor: Supervisor, sleeper: Sleeper) -> None:
    supervisor.apply("g", [sleeper("a"), sleeper("b"), sleeper("c")])
    supervisor.apply("other", [sleeper("z")])
    before = pids(supervisor)
    assert supervisor.apply("g", [sleeper("a"), sleeper("b", X="1"), sleeper("d")])
    after = pids(supervisor)
    assert after["a"] == before["a"]
    assert after["z"] == before["z"]
    assert after["b"] != before["b"]
    assert set(after) == {"a", "b", "d", "z"}
    assert not is_alive(before["c"])
    assert not is_alive(before["b"])


def test_a_killed_program_comes_back_and_is_counted(
    supervisor: Supervisor, sleeper: Sleeper
) -> None:
    supervisor.apply("g", [sleeper("a")])
    pid = pids(supervisor)["a"]
    assert restarts(supervisor, "a") == 0
    os.kill(pid, signal.SIGKILL)
    wait_until("a is back", lambda: pids(supervisor)["a"] not in (0, pid))
    assert restarts(supervisor, "a") == 1


def test_a_program_that_follows_another_begins_anew_with_it(
    supervisor: Supervisor, sleeper: Sleeper
) -> None:
    programs = [sleeper("a"), replace(sleeper("b"), follows="a"), sleeper("c")]
    supervisor.apply("g", programs)
    before = pids(supervisor)
    os.kill(before["a"], signal.SIGKILL)
    wait_until("b begins anew", lambda: pids(supervisor)["b"] not in (0, before["b"]))
    assert not is_alive(before["b"])
    wait_until("a is back", lambda: pids(supervisor)["a"] not in (0, before["a"]))
    again = pids(supervisor)
    os.kill(again["b"], signal.SIGKILL)
    wait_until("b is back", lambda: pids(supervisor)["b"] not in (0, again["b"]))
    assert pids(supervisor) | {"b": 0} == again | {"b": 0}, "nobody follows b"
    assert again["c"] == before["c"]


def test_a_restart_that_was_asked_for_is_not_counted(
    supervisor: Supervisor, sleeper: Sleeper
) -> None:
    supervisor.apply("g", [sleeper("a")])
    pid = pids(supervisor)["a"]
    supervisor.restart("g", "a")
    assert pids(supervisor)["a"] not in (0, pid)
    assert restarts(supervisor, "a") == 0


def test_remove_stops_and_forgets(supervisor: Supervisor, sleeper: Sleeper) -> None:
    supervisor.apply("g", [sleeper("a")])
    pid = pids(supervisor)["a"]
    supervisor.remove("g")
    assert not is_alive(pid)
    assert supervisor.statuses() == []
    assert supervisor.groups() == set()
    supervisor.remove("g")


def test_groups_with_a_common_beginning_are_apart(supervisor: Supervisor, sleeper: Sleeper) -> None:
    supervisor.apply("team", [sleeper("a")])
    supervisor.apply("team-a", [sleeper("a")])
    supervisor.remove("team")
    assert [(s.group, s.name) for s in supervisor.statuses()] == [("team-a", "a")]


def test_stop_stays_until_it_is_applied_again(supervisor: Supervisor, sleeper: Sleeper) -> None:
    supervisor.apply("g", [sleeper("a")])
    pid = pids(supervisor)["a"]
    supervisor.stop("g", "a")
    assert not is_alive(pid)
    assert supervisor.statuses()[0].state == "STOPPED"
    assert supervisor.apply("g", [sleeper("a")])
    wait_until("a runs again", lambda: pids(supervisor)["a"])


def test_what_ignores_sigterm_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(99)"
    log = tmp_path / "logs" / "a.log"
    program = Program("a", (sys.executable, "-c", script), log, stop_seconds=1)
    supervisor.apply("g", [program])
    wait_until("it ignores SIGTERM", lambda: log.exists() and "on" in log.read_text())
    pid = pids(supervisor)["a"]
    supervisor.remove("g")
    assert not is_alive(pid)


def test_its_children_end_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    supervisor.apply("g", [Program("a", ("sh", "-c", "sleep 1000 & echo $!; wait"), log)])
    wait_until("the child is there", lambda: log.exists() and log.read_text().strip())
    child = int(log.read_text())
    supervisor.remove("g")
    wait_until("the child is gone", lambda: not is_alive(child))


def test_output_is_logged_privately_and_the_environment_is_minimal(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    log = tmp_path / "logs" / "a.log"
    command = ("sh", "-c", "env; echo '100% ; # \"done\"' >&2; exec sleep 1000")
    supervisor.apply("g", [Program("a", command, log, environment={"GIVEN": "a b; # %d 'q'"})])
    wait_until("it wrote all", lambda: log.exists() and "done" in log.read_text())
    text = log.read_text()
    assert "GIVEN=a b; # %d 'q'\n" in text
    assert '100% ; # "done"' in text
    names = {line.split("=")[0] for line in text.splitlines() if "=" in line}
    assert names <= {
        "PATH",
        "HOME",
        "LANG",
        "GIVEN",
        "VC_SUPERVISOR",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
    }
    assert log.stat().st_mode & 0o777 == 0o600
    assert (directory).stat().st_mode & 0o777 == 0o700


def test_a_program_stands_back_as_declared(supervisor: Supervisor, sleeper: Sleeper) -> None:
    supervisor.apply("g", [sleeper("a"), replace(sleeper("b"), niceness=5)])
    a, b = (psutil.Process(pid) for pid in pids(supervisor).values())
    wait_until("both are what they were told to be", lambda: a.name() == b.name() == "sleep")
    assert b.nice() == a.nice() + 5


def test_failed_starts_do_not_keep_it_down(supervisor: Supervisor, tmp_path: Path) -> None:
    cause = tmp_path / "cause"
    cause.touch()
    log = tmp_path / "logs" / "a.log"
    script = f"test -e {cause} && exit 1; exec sleep 1000"
    supervisor.apply("g", [Program("a", ("sh", "-c", script), log)])
    wait_until("it failed twice", lambda: restarts(supervisor, "a") >= 2)
    assert supervisor.statuses()[0].state != "FATAL", "it is not given up"
    cause.unlink()
    wait_until("it is back", lambda: _sleeps(supervisor))


def _sleeps(supervisor: Supervisor) -> bool:
    return _is_sleep(pids(supervisor)["a"])


def _is_sleep(pid: int) -> bool:
    try:
        return bool(pid) and psutil.Process(pid).name() == "sleep"
    except psutil.NoSuchProcess:
        return False


def test_a_missing_program_is_tried_again(supervisor: Supervisor, tmp_path: Path) -> None:
    program = tmp_path / "program"
    supervisor.apply("g", [Program("a", (str(program),), tmp_path / "logs" / "a.log")])
    wait_until("it failed", lambda: restarts(supervisor, "a") >= 1)
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o700)
    wait_until("it runs", lambda: _sleeps(supervisor))


def test_a_killed_supervisord_takes_its_programs_along_and_starts_again(
    supervisor: Supervisor, sleeper: Sleeper, directory: Path
) -> None:
    supervisor.apply("g", [sleeper("a"), sleeper("b")])
    before = pids(supervisor)
    wait_until("they are themselves", lambda: all(map(_is_sleep, before.values())))
    daemon = host.daemon(directory)
    assert daemon is not None
    daemon.kill()
    wait_until("its programs are gone", lambda: not any(map(is_alive, before.values())))
    assert not supervisor.is_running()
    supervisor.start()
    wait_until(
        "all run again", lambda: len(pids(supervisor)) == 2 and all(pids(supervisor).values())
    )
    assert not set(pids(supervisor).values()) & set(before.values())


def test_leftovers_are_ended_even_if_nothing_tied_them(
    supervisor: Supervisor, sleeper: Sleeper, directory: Path
) -> None:
    # As on a host without setpriv: a process with our mark and no supervisord.
    supervisor.shutdown()
    with subprocess.Popen(["sleep", "1000"], env={"VC_SUPERVISOR": str(directory)}) as left:
        try:
            supervisor.start()
            wait_until("the leftover is gone", lambda: not is_alive(left.pid))
        finally:
            left.kill()


LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@pytest.mark.skipif(not os.access(LAST_PID, os.W_OK), reason="numbers of processes are not ours")
def test_a_leftover_is_ended_that_has_the_number_of_an_earlier_process(directory: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as earlier:
        assert earlier.pid in {process.pid for process in psutil.process_iter()}
        earlier.kill()
    for _ in range(200):  # others may be quicker to take the number
        LAST_PID.write_text(str(earlier.pid - 1))
        with subprocess.Popen(["sleep", "1000"], env={"VC_SUPERVISOR": str(directory)}) as left:
            try:
                if left.pid == earlier.pid:
                    host.end_leftovers(directory)
                    left.wait(timeout=60)
                    return
            finally:
                left.kill()
    pytest.skip("the number was always taken by others")


def test_shutdown_keeps_what_is_declared(
    supervisor: Supervisor, sleeper: Sleeper, directory: Path
) -> None:
    supervisor.apply("g", [sleeper("a")])
    pid = pids(supervisor)["a"]
    supervisor.shutdown()
    assert not is_alive(pid)
    assert not supervisor.is_running()
    assert host.daemon(directory) is None
    supervisor.shutdown()
    supervisor.start()
    wait_until("a runs again", lambda: pids(supervisor).get("a"))


def test_the_highest_priority_is_stopped_last(supervisor: Supervisor, tmp_path: Path) -> None:
    record = tmp_path / "order"
    supervisor.apply(
        "g",
        [_recorder(tmp_path, record, "etcd", 2), _recorder(tmp_path, record, "apiserver", 1)],
    )
    supervisor.apply("tenant", [_recorder(tmp_path, record, "tenant", 0)])
    wait_until("all are on", lambda: record.exists() and record.read_text().count("on") == 3)
    supervisor.shutdown()
    ended = [line.split()[1] for line in record.read_text().splitlines() if "off" in line]
    assert ended == ["tenant", "apiserver", "etcd"]


def _recorder(tmp_path: Path, record: Path, name: str, priority: int) -> Program:
    script = f"trap 'echo off {name} >>{record}; exit 0' TERM; echo on {name} >>{record}; sleep 99 & wait"
    log = tmp_path / "logs" / f"{name}.log"
    return Program(name, ("sh", "-c", script), log, priority=priority)


def test_a_declaration_that_was_cut_off_is_completed(
    supervisor: Supervisor, sleeper: Sleeper, directory: Path
) -> None:
    from vcluster.supervision.program import render

    supervisor.apply("g", [sleeper("a")])
    pid = pids(supervisor)["a"]
    # Killed after the file was written, before supervisord heard of it.
    programs = [sleeper("a", X="1"), sleeper("b")]
    text = render("g", programs, str(directory))
    host.write_private(directory / "conf.d" / "g.conf", text)
    assert supervisor.apply("g", programs)
    assert pids(supervisor).keys() == {"a", "b"}
    assert pids(supervisor)["a"] != pid
    # Killed after the file was deleted.
    (directory / "conf.d" / "g.conf").unlink()
    supervisor.remove("g")
    assert supervisor.statuses() == []


def test_many_at_once_do_not_disturb_each_other(
    supervisor: Supervisor, sleeper: Sleeper, directory: Path
) -> None:
    failures: list[Exception] = []

    def declare(number: int) -> None:
        mine = Supervisor(directory)
        try:
            for turn in range(3):
                mine.apply(f"g{number % 4}", [sleeper("a", X=str(turn)), sleeper(f"b{turn}")])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=declare, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert supervisor.groups() == {"g0", "g1", "g2", "g3"}
    assert len(supervisor.statuses()) == 8
    wait_until("all run", lambda: all(s.pid for s in supervisor.statuses()))


def test_two_starts_at_once_make_one_supervisord(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    threads = [threading.Thread(target=Supervisor(directory).start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        configuration = str(directory / "supervisord.conf")
        found = [p for p in psutil.process_iter() if configuration in _command_line(p)]
        assert len(found) == 1
    finally:
        Supervisor(directory).shutdown()


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_without_supervisord_a_declaration_fails_and_leaves_nothing(
    tmp_path: Path, sleeper: Sleeper
) -> None:
    supervisor = Supervisor(tmp_path / "s")
    with pytest.raises(SupervisionError, match="does not answer"):
        supervisor.apply("g", [sleeper("a")])
    assert supervisor.groups() == set()
    assert not supervisor.is_running()


def test_a_long_path_gets_a_private_short_socket(tmp_path: Path, sleeper: Sleeper) -> None:
    directory = tmp_path / ("long-" * 20) / ("path-" * 20)
    supervisor = Supervisor(directory)
    supervisor.start()
    try:
        socket = host.socket_path(directory)
        assert directory not in socket.parents
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        supervisor.apply("g", [sleeper("a")])
        supervisor.shutdown()
        supervisor.start()
        assert host.socket_path(directory) == socket
        assert pids(supervisor).keys() == {"a"}
    finally:
        supervisor.shutdown()
        host.socket_path(directory).parent.rmdir()


@pytest.mark.parametrize("bad", ["a b", "a*", "[x]"])
def test_a_path_that_supervisord_cannot_hold_is_refused(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ValueError, match="white space"):
        Supervisor(tmp_path / bad)
