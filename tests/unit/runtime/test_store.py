"""A store follows the server's versions, whatever the order in which news of them comes."""

from typing import NamedTuple

import pytest
from hypothesis import given, strategies

from kube.objects import Object, ObjectKey, decode_head, encode
from syncer.runtime.history import HistoryLost
from syncer.runtime.store import ObjectStore


class Entry:
    """The least that a store needs."""

    def __init__(self, uid: str, version: int) -> None:
        self.uid = uid
        self.version = version


class Told(NamedTuple):
    """A change as a store tells it."""

    name: str
    before: int | None
    after: int | None
    raw: bytes
    own: bool


class Recorded:
    """A store, and what it has told."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.store = ObjectStore[Entry](self._decode, self._note)

    def versions(self) -> dict[str, int]:
        return {key.name: entry.version for key, entry in self.store.items()}

    def _note(
        self, key: ObjectKey, before: Entry | None, after: Entry | None, raw: bytes, own: bool
    ) -> None:
        was, now = (entry.version if entry else None for entry in (before, after))
        self.told.append(Told(key.name, was, now, raw, own))

    @staticmethod
    def _decode(raw: bytes) -> tuple[ObjectKey, Entry]:
        metadata = decode_head(raw).metadata
        entry = Entry(metadata.uid, int(metadata.resource_version))
        return ObjectKey(metadata.namespace, metadata.name), entry


def an_object(version: int, name: str = "web") -> bytes:
    metadata: Object = {"name": name, "uid": f"uid-of-{name}", "resourceVersion": str(version)}
    return encode({"metadata": metadata})


def key(name: str = "web") -> ObjectKey:
    return ObjectKey("", name)


def test_each_change_is_told_once_with_its_bytes() -> None:
    recorded = Recorded()
    for version in (5, 5, 7):
        recorded.store.upsert(an_object(version), listed=0)
    assert recorded.told == [
        Told("web", None, 5, an_object(5), False),
        Told("web", 5, 7, an_object(7), False),
    ]


def test_an_older_version_never_replaces_a_newer_one() -> None:
    recorded = Recorded()
    recorded.store.put(an_object(9))
    recorded.store.upsert(an_object(7), listed=0)
    recorded.store.upsert(an_object(8), listed=8)
    assert recorded.versions() == {"web": 9}
    assert len(recorded.told) == 1


def test_a_list_that_has_not_heard_of_a_version_before_its_own_is_of_another_history() -> None:
    recorded = Recorded()
    recorded.store.put(an_object(9))
    with pytest.raises(HistoryLost, match="version 9 was seen; list 12 has 7"):
        recorded.store.upsert(an_object(7), listed=12)
    assert recorded.versions() == {"web": 9}


def test_an_answer_that_the_watch_has_overtaken_does_not_bring_back_the_dead() -> None:
    recorded = Recorded()
    recorded.store.upsert(an_object(5), listed=0)
    recorded.store.remove(an_object(6))
    assert recorded.store.put(an_object(5)) is None
    assert recorded.versions() == {}


def test_a_late_deletion_does_not_remove_what_was_created_since() -> None:
    recorded = Recorded()
    recorded.store.put(an_object(9))
    recorded.store.remove(an_object(6))
    assert recorded.versions() == {"web": 9}


def test_the_last_state_of_what_is_deleted_is_told() -> None:
    recorded = Recorded()
    recorded.store.upsert(an_object(5), listed=0)
    recorded.store.remove(an_object(6))
    assert recorded.told[-1] == Told("web", 5, None, an_object(6), False)


def test_a_list_removes_what_it_lacks_but_not_what_is_newer() -> None:
    recorded = Recorded()
    for version, name in ((5, "kept"), (6, "lost"), (9, "new")):
        recorded.store.upsert(an_object(version, name), listed=0)
    recorded.store.retain({key("kept")}, 8)
    assert recorded.versions() == {"kept": 5, "new": 9}
    assert recorded.told[-1] == Told("lost", 6, None, b"", False)


def test_a_list_of_some_says_nothing_of_the_others() -> None:
    recorded = Recorded()
    for name in ("ours", "theirs"):
        recorded.store.upsert(an_object(5, name), listed=0)
    recorded.store.retain(set(), 8, lambda entry: entry.uid == "uid-of-ours")
    assert recorded.versions() == {"theirs": 5}


def test_reading_takes_nothing_in() -> None:
    recorded = Recorded()
    assert recorded.store.read(an_object(5)).version == 5
    assert recorded.versions() == {}


HISTORIES = strategies.lists(strategies.booleans(), min_size=1, max_size=12)


@given(alive=HISTORIES, data=strategies.data())
def test_answers_and_events_in_any_order_end_in_the_servers_state(
    alive: list[bool], data: strategies.DataObject
) -> None:
    """The watch is in order; answers to our own writes come at any time in between."""
    recorded = Recorded()
    versions = [(index + 1, lives) for index, lives in enumerate(alive)]
    for version, lives in versions:
        known_answers = [v for v, written in versions if written]
        for answer in data.draw(strategies.lists(strategies.sampled_from(known_answers or [0]))):
            if answer:
                recorded.store.put(an_object(answer))
        if lives:
            recorded.store.upsert(an_object(version), listed=0)
        else:
            recorded.store.remove(an_object(version))
    last, lives = versions[-1]
    assert recorded.versions() == ({"web": last} if lives else {})
