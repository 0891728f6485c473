"""What a test can make the fake do wrong, and what it remembers of the requests."""

import asyncio
import math
import re
from dataclasses import dataclass, field
from typing import Any

from kube.objects import Object


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with this, without doing anything; ``body`` replaces the Status object."""

    code: int
    reason: str = ""
    message: str = "scripted by the test"
    retry_after: int | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """Accept the request, then say nothing, until the fault is removed or the client goes."""


@dataclass(frozen=True, slots=True)
class Slow:
    """Answer rightly, after a time in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection instead of answering; ``done``: after having done what was asked."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class CutWatch:
    """Close the connection of a watch after so many events; ``garbage`` is sent last."""

    after_events: int
    garbage: bytes = b""


Effect = Answer | Hang | Slow | Cut | CutWatch


@dataclass(eq=False, slots=True)
class Fault:
    """An effect on the next ``times`` requests that match."""

    method: str
    path: re.Pattern[str]
    effect: Effect
    times: float
    removed: asyncio.Event = field(default_factory=asyncio.Event)
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        """Whether it concerns the request, and is not yet used up."""
        method_matches = self.method in (method, "*")
        return self.hits < self.times and method_matches and bool(self.path.search(path))

    def remove(self) -> None:
        """From now on, and for those that hang, all is well again."""
        self.times = 0
        self.removed.set()


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived. ``verb`` tells LIST and WATCH from GET."""

    verb: str
    path: str
    plural: str
    namespace: str
    name: str
    subresource: str
    query: dict[str, str]
    content_type: str
    accept: str
    user: str
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        import json

        return json.loads(self.body)


class Script:
    """The faults that are set, and the requests seen."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.log: list[Call] = []

    def add(self, method: str, path: str, effect: Effect, times: float = 1) -> Fault:
        """Let the next ``times`` requests that match misbehave; ``method`` may be ``*`` or WATCH."""
        fault = Fault(method, re.compile(path), effect, times)
        self._faults.append(fault)
        return fault

    def add_for_good(self, method: str, path: str, effect: Effect) -> Fault:
        """Let all requests that match misbehave, until the fault is removed."""
        return self.add(method, path, effect, math.inf)

    def take(self, call: Call) -> Fault | None:
        """The fault that concerns a request, if any; the oldest first."""
        for fault in self._faults:
            if fault.matches(call.verb, call.path):
                fault.hits += 1
                return fault
        return None

    def calls(self, verb: str = "", plural: str = "", subresource: str | None = None) -> list[Call]:
        """The requests so far, by verb, kind and subresource."""
        return [
            call
            for call in self.log
            if verb in ("", call.verb)
            and plural in ("", call.plural)
            and subresource in (None, call.subresource)
        ]


def metadata_only(obj: Object) -> Object:
    """An object as PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }
