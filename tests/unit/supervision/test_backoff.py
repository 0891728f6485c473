"""The back-off is bounded, on supervisord's own state machine; no process is started."""

import signal
import subprocess
import time
from types import SimpleNamespace

from supervisor import events
from supervisor.process import Subprocess
from supervisor.states import ProcessStates

from vcluster.supervision.backoff import MAX_BACKOFF_SECONDS, BackoffInterface
from vcluster.supervision.program import FOLLOWS


def test_after_thirty_failures_it_is_tried_again_soon_and_all_are_counted() -> None:
    before = events.callbacks[:]
    try:
        interface = BackoffInterface(SimpleNamespace(process_groups={}))
        process = Subprocess(SimpleNamespace(name="g.a"))
        for _ in range(30):
            process.change_state(ProcessStates.STARTING)
            process.change_state(ProcessStates.BACKOFF)
        assert process.backoff == MAX_BACKOFF_SECONDS
        assert process.delay - time.time() <= MAX_BACKOFF_SECONDS
        # The first start was wanted; 29 were not.
        assert interface.restarts() == {"g.a": 29}
        events.notify(events.ProcessGroupRemovedEvent("g.a"))
        assert interface.restarts() == {}
    finally:
        events.callbacks[:] = before


def test_a_follower_that_has_no_process_group_of_its_own_yet_is_killed() -> None:
    """So it is between supervisord's fork and the child's first steps, for long on a busy machine."""
    before = events.callbacks[:]
    child = subprocess.Popen(["sleep", "1000"])
    try:
        config = SimpleNamespace(environment={FOLLOWS: "g.a"})
        follower = SimpleNamespace(pid=child.pid, state=ProcessStates.STARTING, config=config)
        group = SimpleNamespace(processes={"g.b": follower})
        BackoffInterface(SimpleNamespace(process_groups={"g.b": group}))
        followed = Subprocess(SimpleNamespace(name="g.a"))
        events.notify(events.ProcessStateExitedEvent(followed, ProcessStates.RUNNING))
        assert child.wait(10) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
        events.callbacks[:] = before
