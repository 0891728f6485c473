"""What audit logs tell: how many calls a user made, by verb and resource. Parsing is pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec


class _User(msgspec.Struct):
    username: str = ""


class _Reference(msgspec.Struct):
    resource: str = ""
    subresource: str = ""


class _Status(msgspec.Struct):
    code: int = 0


class Entry(msgspec.Struct, rename="camel"):
    """The part of an audit event that is counted."""

    stage: str = ""
    verb: str = ""
    user: _User = msgspec.field(default_factory=_User)
    object_ref: _Reference = msgspec.field(default_factory=_Reference)
    response_status: _Status = msgspec.field(default_factory=_Status)
    request_received_timestamp: str = ""

    @property
    def call(self) -> tuple[str, str]:
        """Verb and resource, with the subresource after a slash."""
        reference = self.object_ref
        name = f"{reference.resource}/{reference.subresource}".rstrip("/")
        return self.verb, name


_decode = msgspec.json.Decoder(Entry).decode


def parse(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The completed requests; a line that was cut is passed over."""
    for line in lines:
        try:
            entry = _decode(line)
        except msgspec.MsgspecError:
            continue
        # A watch is one request for minutes, not a cost of a pod.
        if entry.stage == "ResponseComplete" and entry.verb != "watch":
            yield entry


class Calls(Counter[tuple[str, str]]):
    """Number of calls by verb and resource."""

    def per_pod(self, pods: int, *, events: bool) -> float:
        """Calls divided by pods; with or without those about Event objects."""
        return (
            sum(number for (_, name), number in self.items() if events or name != "events") / pods
        )

    def rows(self, pods: int) -> dict[str, float]:
        """``verb resource`` → calls per pod, the most frequent first."""
        return {
            f"{verb} {name}": round(number / pods, 3)
            for (verb, name), number in self.most_common()
            if number / pods >= 0.005
        }


def count(entries: Iterable[Entry], user: str, first: str, last: str) -> Calls:
    """The calls of one user received between two times (RFC 3339 in UTC, microseconds)."""
    return Calls(
        entry.call
        for entry in entries
        if entry.user.username == user and first <= entry.request_received_timestamp <= last
    )


def status_writes(entries: Iterable[Entry], first: str, last: str) -> int:
    """How often anybody wrote the status of a pod between two times."""
    return sum(
        entry.call in {("patch", "pods/status"), ("update", "pods/status")}
        and first <= entry.request_received_timestamp <= last
        for entry in entries
    )


def read(log: Path) -> list[Entry]:
    """All that an API server has logged and not yet thrown away, rotated files included."""
    entries: list[Entry] = []
    for path in log.parent.glob(f"{log.stem}*{log.suffix}"):
        with path.open("rb") as lines:
            entries.extend(parse(lines))
    return entries
