"""Conditions and phase: what they say when."""

import pytest

from vcluster.api import Condition, Phase
from vcluster.control_plane.conditions import State, conditions, phase, ready

YES, NO = State(True, "Fine"), State(False, "Broken", "it is broken")
RUNNING = {
    Condition.SPEC_VALID: YES,
    Condition.DATASTORE_READY: YES,
    Condition.CONTROL_PLANE_READY: YES,
    Condition.BOOTSTRAPPED: YES,
}


def test_a_running_control_plane_is_ready_without_a_syncer() -> None:
    assert ready(RUNNING).status is True


@pytest.mark.parametrize("missing", [Condition.CONTROL_PLANE_READY, Condition.BOOTSTRAPPED])
def test_ready_says_what_is_missing(missing: Condition) -> None:
    state = ready(RUNNING | {missing: NO})
    assert (state.status, state.reason, state.message) == (False, "Broken", "it is broken")


def test_the_first_obstacle_is_named() -> None:
    assert ready({Condition.SPEC_VALID: NO}).reason == "Broken"
    assert ready({}).reason == "Waiting"


@pytest.mark.parametrize(
    ("states", "was_ready", "deleting", "expected"),
    [
        ({}, False, False, Phase.PENDING),
        ({Condition.SPEC_VALID: NO}, False, False, Phase.FAILED),
        ({Condition.SPEC_VALID: YES}, False, False, Phase.PROVISIONING),
        (RUNNING, False, False, Phase.READY),
        (RUNNING | {Condition.CONTROL_PLANE_READY: NO}, True, False, Phase.DEGRADED),
        (RUNNING | {Condition.SPEC_VALID: NO}, True, False, Phase.DEGRADED),
        (RUNNING, True, True, Phase.DELETING),
    ],
)
def test_phases(
    states: dict[Condition, State], was_ready: bool, deleting: bool, expected: Phase
) -> None:
    assert phase(states, was_ready=was_ready, deleting=deleting) == expected


def test_the_transition_time_moves_only_with_the_status() -> None:
    first = conditions([], RUNNING, 1, "then")
    worse = conditions(first, RUNNING | {Condition.BOOTSTRAPPED: NO}, 2, "now")
    times = {one["type"]: one["lastTransitionTime"] for one in worse}
    assert times["Bootstrapped"] == "now"
    assert times["ControlPlaneReady"] == "then"
