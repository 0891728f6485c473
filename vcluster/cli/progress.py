"""How a tenant comes and goes, told line by line."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from vcluster.api import Condition, Object, Phase
from vcluster.cli.output import Failure, say

POLL_SECONDS = 0.2
UNTOLD = frozenset({"Waiting"})

QUIET_SECONDS = 4.0  # who waits longer than this without a word wonders
MAX_LENGTH = 100


class Stand(NamedTuple):
    """How a phase or a condition stands."""

    state: str
    """What is told whenever it changes."""
    detail: str = ""
    """What is told with it."""

    def __str__(self) -> str:
        detail = self.detail
        if len(detail) > MAX_LENGTH:
            detail = f"{detail[:MAX_LENGTH].rstrip()} …"
        return f"{self.state}: {detail}" if detail else self.state


Story = Mapping[str, Stand]
"""What is told of a tenant, by phase and condition."""


class Narrator:
    """Tells the changes of a tenant on stderr, with the seconds since the start."""

    def __init__(self, story: Story) -> None:
        self._told = story
        self._started = self._spoke = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def follow(self, story: Story) -> None:
        """Tell what has changed; details alone only after some silence."""
        quiet = time.monotonic() - self._spoke > QUIET_SECONDS
        for line in news(self._told, story, details=quiet):
            self.say(line)
        # Details that were not told are compared again.
        self._told = {
            name: stand if quiet or _differs(self._told.get(name), stand) else self._told[name]
            for name, stand in story.items()
        }

    def say(self, text: str) -> None:
        """One line."""
        self._spoke = time.monotonic()
        say(f"{self.seconds:6.1f} s  {text}")

    def wait(self, timeout: float) -> bool:
        """Until it is worth looking again; False when the time is over."""
        if self.seconds >= timeout:
            return False
        time.sleep(POLL_SECONDS)
        return True


def story(tenant: Object) -> Story:
    """How a tenant stands: its phase, then its conditions but Ready, which repeats the others."""
    status = tenant.get("status") or {}
    told = {"Phase": Stand(status["phase"])} if status.get("phase") else {}
    for condition in status.get("conditions") or []:
        if condition["type"] != Condition.READY and condition["reason"] not in UNTOLD:
            told[condition["type"]] = stand(condition)
    return told


def stand(condition: Mapping[str, Any]) -> Stand:
    """How a condition stands."""
    if condition["status"] == "True":
        return Stand("done")
    return Stand(condition["reason"], condition.get("message") or "")


def news(before: Story, after: Story, *, details: bool) -> list[str]:
    """What has changed, in lines."""
    return [
        f"{name}: {now}"
        for name, now in after.items()
        if _differs(before.get(name), now) or (details and before[name] != now)
    ]


def _differs(before: Stand | None, now: Stand) -> bool:
    return before is None or before.state != now.state


def is_ready(tenant: Object) -> bool:
    """Whether the tenant as it is now wanted can be used."""
    condition = _condition(tenant, Condition.READY)
    seen = condition.get("observedGeneration", 0) >= tenant["metadata"].get("generation", 0)
    return condition.get("status") == "True" and seen


def is_mirrored(tenant: Object) -> bool:
    """Whether a syncer says that nodes are shown and pods go down. Ready does not depend on it."""
    return _condition(tenant, Condition.SYNCING).get("status") == "True"


def verdict(tenant: Object) -> str:
    """Why it will not become ready as it is; empty if it may."""
    status = tenant.get("status") or {}
    if status.get("observedGeneration", 0) < tenant["metadata"].get("generation", 0):
        return ""
    valid = _condition(tenant, Condition.SPEC_VALID)
    if valid.get("status") == "False":
        return str(valid.get("message") or valid.get("reason"))
    return why_not(tenant) if status.get("phase") == Phase.FAILED else ""


def why_not(tenant: Object) -> str:
    """What it waits for."""
    ready = _condition(tenant, Condition.READY)
    if not ready:
        return "no operator has looked at it"
    return str(ready.get("message") or ready.get("reason"))


def stuck(tenant: Object, timeout: float) -> Failure:
    """The failure of a wait that took too long."""
    name, namespace = tenant["metadata"]["name"], tenant["metadata"]["namespace"]
    hint = f"it goes on meanwhile; vc describe {name} -n {namespace} shows more"
    if not tenant.get("status"):
        hint = "is the operator running? vc status shows it"
    return Failure(f"tenant {name!r} is not ready after {timeout:g} s: {why_not(tenant)}", hint)


def _condition(tenant: Object, name: Condition) -> Mapping[str, Any]:
    for condition in (tenant.get("status") or {}).get("conditions") or []:
        if condition["type"] == name:
            found: Mapping[str, Any] = condition
            return found
    return {}
