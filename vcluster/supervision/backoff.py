"""Inside supervisord: a bounded back-off, and a truthful count of restarts.

supervisord waits one second longer after each failed start, without a bound, or gives up. Both
are wrong for what must come back by itself, so this extension caps the wait. It is loaded through
supervisord's own extension point, ``rpcinterface_factory``.
"""

import time
from typing import Any

from supervisor import events
from supervisor.states import ProcessStates

MAX_BACKOFF_SECONDS = 8

AUTOMATIC = (ProcessStates.BACKOFF, ProcessStates.EXITED)
"""A start out of these states was nobody's wish: the process had ended by itself."""


class BackoffInterface:
    """The RPC namespace ``virtualcluster``; subscribed to what happens to the processes."""

    def __init__(self) -> None:
        self._restarts: dict[str, int] = {}
        events.subscribe(events.ProcessStateBackoffEvent, self._cap)
        events.subscribe(events.ProcessStateStartingEvent, self._count)
        events.subscribe(events.ProcessGroupRemovedEvent, self._forget)

    def restarts(self) -> dict[str, int]:
        """How often each program was started again, by its section's name."""
        return self._restarts

    def _cap(self, event: Any) -> None:
        process = event.process
        process.backoff = min(process.backoff, MAX_BACKOFF_SECONDS)
        process.delay = min(process.delay, time.time() + MAX_BACKOFF_SECONDS)

    def _count(self, event: Any) -> None:
        name = event.process.config.name
        automatic = event.from_state in AUTOMATIC
        self._restarts[name] = self._restarts.get(name, 0) + automatic

    def _forget(self, event: Any) -> None:
        self._restarts.pop(event.group, None)


def make_interface(_supervisord: Any, **_config: str) -> BackoffInterface:
    """What the configuration names as ``supervisor.rpcinterface_factory``."""
    return BackoffInterface()
