"""The last known state of one kind at one API server, as small entries."""

import time
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from kube.objects import ObjectKey
from syncer.runtime.history import HistoryLost


class StoreEntry(Protocol):
    """What every entry has: which object it is, and which version of it."""

    uid: str
    version: int


REMEMBERED_SECONDS = 60.0
"""How long a deletion is remembered: longer than any answer to an earlier request is under way."""

E = TypeVar("E", bound=StoreEntry)
Decode = Callable[[bytes], tuple[ObjectKey, E]]
Changed = Callable[[ObjectKey, E | None, E | None, bytes, bool], None]
"""``(key, before, after, bytes of the object, own)``.

``after`` is None once it is gone; ``own``: we know it from the answer to a write of ours.
"""


class ObjectStore(Generic[E]):
    """Entries by key. Tells ``changed`` of each change that is news; older versions are passed over.

    Versions of one kind can be compared as numbers (Kubernetes promises so since 1.35).
    """

    def __init__(self, decode: Decode[E], changed: Changed[E]) -> None:
        self._decode = decode
        self._changed = changed
        self._entries: dict[ObjectKey, E] = {}
        self._deleted: dict[ObjectKey, tuple[int, float]] = {}

    def get(self, key: ObjectKey) -> E | None:
        """The entry, or None."""
        return self._entries.get(key)

    def items(self) -> Iterator[tuple[ObjectKey, E]]:
        """All entries at this moment; safe while the store changes."""
        return iter(list(self._entries.items()))

    def keys(self) -> list[ObjectKey]:
        """All keys at this moment."""
        return list(self._entries)

    def values(self) -> list[E]:
        """All entries at this moment."""
        return list(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def upsert(self, raw: bytes, *, listed: int) -> ObjectKey:
        """See runtime.informer.Store."""
        key, entry = self._decode(raw)
        before = self._entries.get(key)
        if before is not None and entry.version < before.version <= listed:
            # A list shows each object's last version up to its own: there was a later one once.
            msg = f"{key}: version {before.version} was seen; list {listed} has {entry.version}"
            raise HistoryLost(msg)
        if before is None and self._is_deleted(key, entry):
            return key  # a list that was begun before, or a watch that repeats itself
        if before is None or entry.version > before.version:
            self._entries[key] = entry
            self._changed(key, before, entry, raw, False)
        return key

    def read(self, raw: bytes) -> E:
        """The entry that an object would have; it is not taken in."""
        return self._decode(raw)[1]

    def put(self, raw: bytes) -> E | None:
        """Take in an answer of the API server, ahead of the watch; the entry that holds now.

        None: the watch has told meanwhile that it was deleted.
        """
        key, entry = self._decode(raw)
        before = self._entries.get(key)
        if before is None and self._is_deleted(key, entry):
            return None
        if before is None or entry.version > before.version:
            self._entries[key] = entry
            self._changed(key, before, entry, raw, True)
            return entry
        return before

    def remove(self, raw: bytes) -> None:
        """See runtime.informer.Store."""
        key, entry = self._decode(raw)
        before = self._entries.get(key)
        if before is not None and before.version > entry.version:
            return  # re-created meanwhile; we heard so from the answer to our own write
        self._remember_deletion(key, entry.version)
        self._entries.pop(key, None)
        self._changed(key, before or entry, None, raw, False)

    def _is_deleted(self, key: ObjectKey, entry: E) -> bool:
        return key in self._deleted and entry.version <= self._deleted[key][0]

    def _remember_deletion(self, key: ObjectKey, version: int) -> None:
        now = time.monotonic()
        self._deleted.pop(key, None)
        self._deleted[key] = version, now
        while now - self._deleted[oldest := next(iter(self._deleted))][1] > REMEMBERED_SECONDS:
            del self._deleted[oldest]

    def retain(
        self,
        keys: set[ObjectKey],
        resource_version: int,
        among: Callable[[E], bool] = lambda _entry: True,
    ) -> None:
        """See runtime.informer.Store. The last state is not known: ``changed`` gets no bytes.

        ``among``: the list was of these entries only.
        """
        gone = [
            (key, entry)
            for key, entry in self._entries.items()
            if key not in keys and entry.version <= resource_version and among(entry)
        ]
        for key, entry in gone:
            del self._entries[key]
            self._changed(key, entry, None, b"", False)

    def drop(self, which: Callable[[ObjectKey, E], bool]) -> None:
        """Forget entries that are no longer followed. They are not gone: nobody is told."""
        for key, entry in list(self._entries.items()):
            if which(key, entry):
                del self._entries[key]
