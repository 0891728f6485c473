"""One supervisord and what it keeps running, declared group by group.

Its folder holds the configuration, one file per group in ``conf.d``, the pid file, its log and
(when the path is short enough) its socket. The files are the truth: a supervisord that was killed,
or a machine that was restarted, comes back with every group that was declared. A call that was
killed between two steps is completed by the next call for the same group.
"""

import contextlib
import http.client
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults

from vcluster.supervision import host
from vcluster.supervision.connection import connect
from vcluster.supervision.program import (
    ProcessStatus,
    Program,
    render,
    section,
    split_section,
    validate,
    validate_path,
)

POLL_SECONDS = 0.05
START_TIMEOUT_SECONDS = 30.0
STOP_MARGIN_SECONDS = 10.0
"""Beyond the longest stop_seconds, before we say that something does not stop."""

ENDED = frozenset({"STOPPED", "EXITED", "FATAL"})

_THERE = frozenset({Faults.ALREADY_ADDED, Faults.ALREADY_STARTED})
_NOT_THERE = frozenset({Faults.BAD_NAME, Faults.NOT_RUNNING})
_UNREACHABLE = (OSError, http.client.HTTPException, xmlrpc.client.Error)


class SupervisionError(Exception):
    """supervisord is not there, refused, or something did not start or stop in time."""


class Supervisor:
    """The supervisord of one folder. Safe to use from several threads and processes at once."""

    def __init__(self, directory: Path) -> None:
        """Raises ValueError for a path that supervisord's configuration cannot hold."""
        self._directory = directory.absolute()
        validate_path(self._directory)
        self._groups_directory = self._directory / "conf.d"

    def start(self) -> None:
        """Start supervisord, detached, with all declared groups; nothing if it runs already.

        Processes that an earlier, killed supervisord left behind are ended first.
        """
        host.private_directory(self._groups_directory)
        if self.is_running():
            return
        with host.locked(self._directory, "supervisord"):
            # One that is busy, or about to end, is given time: killing it kills all it runs.
            self._wait(
                "supervisord answers or ends (vc down ends one that hangs)",
                lambda: self.is_running() or host.daemon(self._directory) is None,
                START_TIMEOUT_SECONDS,
            )
            if self.is_running():
                return
            host.end_leftovers(self._directory)
            host.launch(self._directory)
            self._wait("supervisord answers", self.is_running, START_TIMEOUT_SECONDS)

    def shutdown(self) -> None:
        """Stop every program, then supervisord; what is declared stays declared."""
        if not self._directory.is_dir():
            return
        with host.locked(self._directory, "supervisord"):
            # Before it ends: its pid file goes earlier than itself.
            daemon = host.daemon(self._directory)
            if daemon is not None and self.is_running():
                with contextlib.suppress(SupervisionError):
                    self._stop_by_priority()
                with contextlib.suppress(SupervisionError):
                    self._call("supervisor.shutdown")
                self._wait("supervisord ends", partial(host.has_ended, daemon), 30.0)
            host.end_leftovers(self._directory)

    def is_running(self) -> bool:
        """Whether supervisord answers and accepts work."""
        try:
            return bool(self._call("supervisor.getState")["statename"] == "RUNNING")
        except SupervisionError:
            return False

    def apply(self, group: str, programs: Sequence[Program]) -> bool:
        """Make ``programs`` exactly what runs in ``group``; whether anything had to be changed.

        What is new, or stands still, is started, what changed is restarted, what is no longer
        listed is stopped, the rest is not touched. Returns when processes are started, not when
        they are ready. Raises ValueError, SupervisionError.
        """
        validate(group, programs)
        text = render(group, programs, str(self._directory))
        for program in programs:
            host.private_directory(program.log_file.parent)
        with host.locked(self._directory, group):
            # Before anything is touched: without supervisord a declaration must not look applied.
            self._call("supervisor.getState")
            host.write_private(self._file(group), text)
            return self._converge(group)

    def remove(self, group: str) -> None:
        """Stop the programs of a group and forget it; nothing if there is none."""
        if not self._directory.is_dir():
            return
        with host.locked(self._directory, group):
            self._file(group).unlink(missing_ok=True)
            if self.is_running():
                self._converge(group)

    def stop(self, group: str, name: str) -> None:
        """Stop one program until it is started, applied again, or supervisord starts anew."""
        self._stop_all([section(group, name)])

    def start_program(self, group: str, name: str) -> None:
        """Start one program that stands still."""
        self._start_section(section(group, name))

    def restart(self, group: str, name: str) -> None:
        """Stop one program and start it again."""
        self.stop(group, name)
        self.start_program(group, name)

    def statuses(self, group: str | None = None) -> list[ProcessStatus]:
        """How the programs stand, in all groups or in one."""
        restarts = self._call("virtualcluster.restarts")
        return [
            _status(info, restarts)
            for info in self._call("supervisor.getAllProcessInfo")
            if group is None or split_section(info["group"])[0] == group
        ]

    def groups(self) -> set[str]:
        """The declared groups, whether supervisord runs or not."""
        return {path.stem for path in self._groups_directory.glob("*.conf")}

    def _file(self, group: str) -> Path:
        return self._groups_directory / f"{group}.conf"

    def _converge(self, group: str) -> bool:
        """Bring supervisord to what the group's file says."""
        added, changed, removed = self._call("supervisor.reloadConfig")[0]
        declared = host.sections(self._file(group))
        outdated = [name for name in (*changed, *removed) if split_section(name)[0] == group]
        self._stop_all(outdated)
        for name in outdated:
            self._call("supervisor.removeProcessGroup", name, accept=_NOT_THERE)
        missing = [name for name in declared if name in added or name in outdated]
        for name in missing:
            self._call("supervisor.addProcessGroup", name, accept=_THERE)
        # One by one: the list of all that runs grows with the tenants.
        still = [name for name in declared if name not in missing and self._has_ended(name)]
        for name in still:
            self._start_section(name)
        return bool(outdated or missing or still)

    def _start_section(self, name: str) -> None:
        full = f"{name}:{name}"
        self._call("supervisor.startProcess", full, False, accept=_THERE)

    def _stop_all(self, names: Sequence[str]) -> None:
        """Stop sections side by side and wait until all have ended."""
        if not names:
            return
        for name in names:
            self._await_launch(name)
            self._call("supervisor.stopProcess", f"{name}:{name}", False, accept=_NOT_THERE)
        deadline = host.longest_stop(self._groups_directory) + STOP_MARGIN_SECONDS
        for name in names:
            self._wait(f"{name} ends", partial(self._has_ended, name), deadline)

    def _await_launch(self, name: str) -> None:
        # Between fork and exec a child of supervisord swallows the signal that should end it.
        info = self._call("supervisor.getProcessInfo", f"{name}:{name}", accept=_NOT_THERE)
        if info is not None and info["pid"]:
            launched = partial(host.is_launched, info["pid"])
            self._wait(f"{name} is launched", launched, START_TIMEOUT_SECONDS)

    def _has_ended(self, name: str) -> bool:
        info = self._call("supervisor.getProcessInfo", f"{name}:{name}", accept=_NOT_THERE)
        return info is None or info["statename"] in ENDED

    def _stop_by_priority(self) -> None:
        waves: dict[int, list[str]] = {}
        for path in sorted(self._groups_directory.glob("*.conf")):
            for name, priority in host.sections(path).items():
                waves.setdefault(priority, []).append(name)
        for priority in sorted(waves, reverse=True):
            self._stop_all(waves[priority])

    def _wait(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                log = self._directory / host.LOG
                msg = f"waited {seconds:.0f} s in vain until {what}; see {log}"
                raise SupervisionError(msg)
            time.sleep(POLL_SECONDS)

    def _call(self, method: str, *arguments: Any, accept: frozenset[int] = frozenset()) -> Any:
        """Call supervisord; None if it answers with a fault that we accept."""
        client = connect(host.socket_path(self._directory))
        try:
            return getattr(client, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in accept:
                return None
            msg = f"supervisord refused {method} {arguments}: {fault.faultString}"
            raise SupervisionError(msg) from fault
        except _UNREACHABLE as error:
            msg = f"supervisord of {self._directory} does not answer ({error}); it is started by vc up"
            raise SupervisionError(msg) from error
        finally:
            client("close")()


def _status(info: dict[str, Any], restarts: dict[str, int]) -> ProcessStatus:
    group, name = split_section(info["group"])
    return ProcessStatus(
        group=group,
        name=name,
        state=info["statename"],
        pid=info["pid"],
        started=float(info["start"]),
        restarts=restarts.get(info["group"], 0),
        description=info["description"],
    )
