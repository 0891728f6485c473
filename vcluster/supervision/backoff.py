"""Inside supervisord: a bounded back-off, followers, and a truthful count of restarts.

supervisord waits one second longer after each failed start, without a bound, or gives up. Both
are wrong for what must come back by itself, so this extension caps the wait. It knows no program that
has to begin anew when another one has ended, so this extension kills those. It is loaded through
supervisord's own extension point, ``rpcinterface_factory``.
"""

import os
import signal
import time
from contextlib import suppress
from typing import Any

from supervisor import events
from supervisor.states import ProcessStates

from vcluster.supervision.program import FOLLOWS

MAX_BACKOFF_SECONDS = 8

ENDS = (
    events.ProcessStateExitedEvent,
    events.ProcessStateBackoffEvent,
    events.ProcessStateStoppedEvent,
)
ALIVE = (ProcessStates.STARTING, ProcessStates.RUNNING)
AUTOMATIC = (ProcessStates.BACKOFF, ProcessStates.EXITED)
"""A start out of these states was nobody's wish: the process had ended by itself."""


class BackoffInterface:
    """The RPC namespace ``virtualcluster``; subscribed to what happens to the processes."""

    def __init__(self, supervisord: Any) -> None:
        self._supervisord = supervisord
        self._restarts: dict[str, int] = {}
        events.subscribe(events.ProcessStateBackoffEvent, self._cap)
        events.subscribe(events.ProcessStateStartingEvent, self._count)
        events.subscribe(events.ProcessGroupRemovedEvent, self._forget)
        for end in ENDS:
            events.subscribe(end, self._take_along)

    def restarts(self) -> dict[str, int]:
        """How often each program was started again, by its section's name."""
        return self._restarts

    def _cap(self, event: Any) -> None:
        process = event.process
        process.backoff = min(process.backoff, MAX_BACKOFF_SECONDS)
        process.delay = min(process.delay, time.time() + MAX_BACKOFF_SECONDS)

    def _take_along(self, event: Any) -> None:
        """Kill those that follow: supervisord then starts them, as after any other end."""
        for group in self._supervisord.process_groups.values():
            for process in group.processes.values():
                followed = (process.config.environment or {}).get(FOLLOWS)
                alive = process.pid and process.state in ALIVE
                if alive and followed == event.process.config.name:
                    _kill(process.pid)

    def _count(self, event: Any) -> None:
        name = event.process.config.name
        automatic = event.from_state in AUTOMATIC
        self._restarts[name] = self._restarts.get(name, 0) + automatic

    def _forget(self, event: Any) -> None:
        self._restarts.pop(event.group, None)


def _kill(pid: int) -> None:
    """With all that it has started; a child that has no group of its own yet has started nothing."""
    for target in (-pid, pid):
        with suppress(ProcessLookupError):
            os.kill(target, signal.SIGKILL)
            return


def make_interface(supervisord: Any, **_config: str) -> BackoffInterface:
    """What the configuration names as ``supervisor.rpcinterface_factory``."""
    return BackoffInterface(supervisord)
