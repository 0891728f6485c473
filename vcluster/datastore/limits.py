"""How much of the datastore a tenant may fill, and what it may still write when it has. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from vcluster.datastore.messages import Stored


class Level(IntEnum):
    """What a tenant may write; deleting it may always."""

    OPEN = 0
    """Everything."""
    FULL = 1
    """No new objects, but for what its control plane itself needs; changes of those there."""
    SHUT = 2
    """Nothing that makes its share larger."""


class Stage(IntEnum):
    """What a tenant may still write when it has written much lately, however little it keeps."""

    FREE = 0
    """Everything."""
    SLOWED = 1
    """No large objects."""
    HELD = 2
    """Only the smallest ones: leases and the like."""
    STOPPED = 3
    """Nothing but what happens to each object once: its end."""


SHUT_PERCENT = 110
"""Changes may make objects larger: so far beyond the limit, and then they are refused too."""
ROOM_PERCENT = 98
"""A level is left when so much of what leads to it is used, so that it does not flicker."""
STAGE_PERCENT = {Stage.SLOWED: 100, Stage.HELD: 150, Stage.STOPPED: 200}
"""Of the history: what begins with it."""
CALM_PERCENT = 90
"""A stage is left when so much of what leads to it is left in the window."""
REVISION_SIZE = 100
"""Bytes, about: what etcd keeps of each write beside key and value."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one tenant."""

    objects: int
    size: int
    """Bytes of keys and values, as etcd stores them, without history."""
    history: int
    """Bytes that may be written within the window."""
    window: float
    """Seconds: as long as etcd may keep what was overwritten."""


class Standing(NamedTuple):
    """All that is refused to a tenant."""

    level: Level = Level.OPEN
    stage: Stage = Stage.FREE


@dataclass(slots=True)
class Share:
    """What one tenant keeps in the datastore."""

    size: int = 0
    _sizes: dict[bytes, int] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        """How many keys there are."""
        return len(self._sizes)

    def apply(self, changes: Iterable[Stored]) -> None:
        """Take in what is stored, or deleted, now."""
        for key, size in changes:
            if size:
                self.size += size - self._sizes.get(key, 0)
                self._sizes[key] = size
            else:
                self.size -= self._sizes.pop(key, 0)


class History:
    """The bytes that were written within a window of time, up to a 60th of it longer.

    Times are seconds of any clock that does not go back.
    """

    BUCKETS = 60

    def __init__(self, window: float) -> None:
        self._width = window / self.BUCKETS
        # One more than the window has: it begins within a bucket.
        self._numbers = [0] * (self.BUCKETS + 1)
        self._sizes = [0] * (self.BUCKETS + 1)

    def add(self, size: int, now: float) -> None:
        """So many bytes are written now."""
        number = int(now / self._width)
        index = number % len(self._numbers)
        if self._numbers[index] != number:
            # In this order: other threads may add up meanwhile.
            self._sizes[index], self._numbers[index] = 0, number
        self._sizes[index] += size

    def written(self, now: float) -> int:
        """Bytes within the window that ends now."""
        oldest = int(now / self._width) - self.BUCKETS
        pairs = zip(self._numbers, self._sizes, strict=True)
        return sum(size for number, size in pairs if number >= oldest)


def added(changes: Iterable[Stored]) -> int:
    """Bytes that these add to etcd's history; of a deletion it keeps the key."""
    return sum((size or len(key)) + REVISION_SIZE for key, size in changes)


def standing(share: Share, written: int, limits: Limits, before: Standing) -> Standing:
    """What is refused when so much was written within the window, and so much is kept."""
    return Standing(
        level(share, limits, before.level), stage(written, limits.history, before.stage)
    )


def stage(written: int, limit: int, before: Stage) -> Stage:
    """The stage that the bytes written have reached; one that it had is left with some room only."""
    for reached, percent in reversed(STAGE_PERCENT.items()):
        enough = percent * (CALM_PERCENT if before >= reached else 100)
        if written * 10_000 >= limit * enough:
            return reached
    return Stage.FREE


def level(share: Share, limits: Limits, before: Level) -> Level:
    """The level that the share has reached; one that it had is left with some room only."""
    for reached in (Level.SHUT, Level.FULL):
        percent = (SHUT_PERCENT if reached is Level.SHUT else 100) * (
            ROOM_PERCENT if before >= reached else 100
        )
        if (
            share.objects * 10_000 >= limits.objects * percent
            or share.size * 10_000 >= limits.size * percent
        ):
            return reached
    return Level.OPEN
