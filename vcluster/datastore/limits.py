"""How much of the datastore a tenant may fill, and what it may still write when it has. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from vcluster.datastore.messages import Stored


class Level(IntEnum):
    """What a tenant may write; deleting it may always."""

    OPEN = 0
    """Everything."""
    FULL = 1
    """No new objects, but for what its control plane itself needs; changes of those there."""
    SHUT = 2
    """Nothing that makes its share larger."""


SHUT_PERCENT = 110
"""Changes may make objects larger: so far beyond the limit, and then they are refused too."""
ROOM_PERCENT = 98
"""A level is left when so much of what leads to it is used, so that it does not flicker."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one tenant."""

    objects: int
    size: int
    """Bytes of keys and values, as etcd stores them, without history."""


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
