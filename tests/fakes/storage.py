"""The etcd of the fake: objects with versions, and the history that watches read."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kube.objects import Object, ObjectKey
from tests.fakes.status import expired


class Table(NamedTuple):
    """The objects of one kind, in whatever version of its group they are asked for."""

    group: str
    plural: str


@dataclass(frozen=True, slots=True)
class Change:
    """One write. ``after`` is the last state for a removal."""

    revision: int
    removed: bool
    before: Object | None
    after: Object


class Backup(NamedTuple):
    """All objects at one moment."""

    revision: int
    tables: dict[Table, dict[ObjectKey, Object]]


def version_of(obj: Object) -> int:
    """An object's resourceVersion as a number."""
    return int(obj["metadata"]["resourceVersion"])


class Storage:
    """Objects are never changed in place: each write stores a new one. One counter for all tables."""

    def __init__(self) -> None:
        self.revision = 1000
        self.compacted = 0
        """Watches from before this revision are refused."""
        self._tables: dict[Table, dict[ObjectKey, Object]] = {}
        self._history: dict[Table, list[Change]] = {}
        self._listeners: set[asyncio.Event] = set()

    def get(self, table: Table, key: ObjectKey) -> Object | None:
        """The object, or None."""
        return self._tables.get(table, {}).get(key)

    def items(self, table: Table, namespace: str = "") -> list[Object]:
        """The objects of a kind, of one namespace or of all, by key."""
        objects = self._tables.get(table, {})
        return [objects[key] for key in sorted(objects) if not namespace or key[0] == namespace]

    def in_namespace(self, namespace: str) -> Iterator[tuple[Table, ObjectKey]]:
        """All that lives in a namespace."""
        for table, objects in list(self._tables.items()):
            for key in [key for key in objects if key.namespace == namespace]:
                yield table, key

    def write(self, table: Table, key: ObjectKey, obj: Object) -> Object:
        """Store an object under a new version; returns it as stored."""
        before = self.get(table, key)
        stored = self._stamped(obj)
        self._tables.setdefault(table, {})[key] = stored
        self._append(table, Change(self.revision, False, before, stored))
        return stored

    def remove(self, table: Table, key: ObjectKey, last: Object) -> Object:
        """Remove an object; its last state carries the version of the removal."""
        before = self._tables[table].pop(key)
        gone = self._stamped(last)
        self._append(table, Change(self.revision, True, before, gone))
        return gone

    def write_quietly(self, table: Table, key: ObjectKey, obj: Object | None) -> None:
        """Store or remove an object and tell no watcher: as if the event were lost."""
        if obj is None:
            del self._tables[table][key]
        else:
            self._tables[table][key] = self._stamped(obj)

    def check_version(self, since: int) -> None:
        """Raises 410 if the writes after it are compacted away. One that is yet to come is waited for."""
        if since < self.compacted:
            raise expired(f"too old resource version: {since} ({self.compacted})")

    def changes(self, table: Table, since: int) -> list[Change]:
        """All writes after a revision."""
        history = self._history.get(table, [])
        return history[bisect_right(history, since, key=lambda change: change.revision) :]

    def compact(self) -> None:
        """Refuse watches from before this moment; those that run go on."""
        self.revision += 1
        self.compacted = self.revision

    def backup(self) -> "Backup":
        """What ``restore`` needs to go back to this moment."""
        tables = {table: dict(objects) for table, objects in self._tables.items()}
        return Backup(self.revision, tables)

    def restore(self, backup: "Backup") -> None:
        """Go back: what was written since has never been, and its versions will be given again."""
        self.revision = backup.revision
        self._tables = {table: dict(objects) for table, objects in backup.tables.items()}
        for history in self._history.values():
            del history[bisect_right(history, self.revision, key=lambda change: change.revision) :]

    def listen(self, event: asyncio.Event) -> None:
        """Set the event at each write from now on."""
        self._listeners.add(event)

    def wake(self) -> None:
        """Let all listeners look, though nothing was written."""
        for event in self._listeners:
            event.set()

    def unlisten(self, event: asyncio.Event) -> None:
        """The reverse of ``listen``."""
        self._listeners.discard(event)

    def _stamped(self, obj: Object) -> Object:
        self.revision += 1
        return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.revision)}}

    def _append(self, table: Table, change: Change) -> None:
        self._history.setdefault(table, []).append(change)
        for event in self._listeners:
            event.set()
