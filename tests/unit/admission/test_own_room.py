"""Room of a tenant's own resources: nobody counts on what another may take."""

import random

import pytest

from kube.objects import ObjectKey
from syncer.admission.own_room import UNKNOWN, Hold, OwnRoom

FOO = "example.com/foo"
WHERE = b"[null,null,null]"


def a_key(name: str) -> ObjectKey:
    return ObjectKey("default", name)


def a_room(**capacity: int) -> OwnRoom:
    room = OwnRoom()
    for node, amount in capacity.items():
        room.has(node, {FOO: amount})
    return room


def a_wish(name: str, amount: int, priority: int = 0, where: bytes = WHERE) -> Hold:
    return Hold(uid=f"uid-{name}", priority=priority, amounts={FOO: amount}, where=where)


def reserve(room: OwnRoom, name: str, amount: int = 2, priority: int = 0) -> set[str]:
    return set(room.reserve(a_key(name), a_wish(name, amount, priority), lambda _: True))


def test_what_one_pod_may_take_is_nobody_elses() -> None:
    room = a_room(one=5, two=5)
    assert reserve(room, "a") == reserve(room, "b") == {"one", "two"}
    assert reserve(room, "c") == set(), "the two may both come to the same node"
    assert room.placed(a_key("a"), "uid-a", "one")
    assert room.waiting() == [a_key("c")]
    assert reserve(room, "c") == {"two"}


def test_asked_again_a_pod_keeps_its_nodes() -> None:
    room = a_room(one=2)
    assert reserve(room, "a") == {"one"}
    room.has("two", {FOO: 2})
    assert reserve(room, "a") == {"one"}, "it has enough: its super pod need not be another"
    assert room.is_stuck(a_key("a"))
    assert not room.is_stuck(a_key("a")), "that is no news"
    assert reserve(room, "a") == {"one", "two"}


def test_a_node_that_lost_its_resource_is_no_place_any_more() -> None:
    room = a_room(one=2, two=2)
    assert reserve(room, "a") == {"one", "two"}
    room.has("one", {})
    assert reserve(room, "a") == {"two"}


def test_a_node_that_does_not_suit_is_not_held() -> None:
    room = a_room(one=2, two=2)
    wish = a_wish("a", 2)
    assert room.reserve(a_key("a"), wish, lambda node: node == "two") == {"two"}
    assert reserve(room, "b") == {"one"}


def test_a_pod_of_the_same_name_takes_the_others_place() -> None:
    room = a_room(one=2)
    reserve(room, "a")
    another = Hold("uid-other", 0, {FOO: 2}, WHERE)
    assert room.reserve(a_key("a"), another, lambda _: True) == {"one"}
    assert not room.placed(a_key("a"), "uid-a", "one"), "that is news of the one before"


def test_room_that_is_made_for_a_pod_is_kept_from_less_important_ones() -> None:
    room = a_room(one=4)
    reserve(room, "victim", 4)
    room.placed(a_key("victim"), "uid-victim", "one")
    assert reserve(room, "urgent", 3, priority=10) == set()
    room.keep(a_key("urgent"), "one")
    assert room.release(a_key("victim"))
    assert reserve(room, "cheap", 2) == set()
    assert reserve(room, "small", 1) == {"one"}
    assert room.waiting() == [a_key("urgent"), a_key("cheap")]
    assert reserve(room, "urgent", 3, priority=10) == {"one"}


def test_a_more_important_pod_may_take_what_is_kept_for_another() -> None:
    room = a_room(one=2)
    reserve(room, "victim", 2)
    reserve(room, "urgent", 2, priority=10)
    room.keep(a_key("urgent"), "one")
    room.release(a_key("victim"))
    assert reserve(room, "vital", 2, priority=20) == {"one"}


def test_a_pod_that_was_there_before_counts_wherever_it_may_come_to_be() -> None:
    room = a_room(one=2, two=2)
    room.found(a_key("bound"), a_wish("bound", 2), "one", bound=True)
    room.found(a_key("waits"), a_wish("waits", 2, where=UNKNOWN), "two")
    assert reserve(room, "new") == set()
    assert reserve(room, "waits") == {"two"}, "it keeps what it has been told"


def test_a_pod_whose_super_pod_is_not_gone_yet_holds_both_places() -> None:
    room = a_room(one=2, two=2)
    assert reserve(room, "a") == {"one", "two"}
    room.has("one", {})
    assert reserve(room, "a") == {"two"}
    room.has("one", {FOO: 2})
    room.widen(a_key("a"), frozenset({"one"}))
    assert reserve(room, "b") == set()


def test_nothing_is_left_of_pods_that_have_gone() -> None:
    room = a_room(one=2)
    for name in ("a", "b"):
        reserve(room, name)
        room.keep(a_key(name), "one")
        room.release(a_key(name))
    room.has("one", {})
    assert not room
    assert not room.release(a_key("a")), "nobody gains by it"


@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_events_puts_too_much_on_a_node(seed: int) -> None:
    chance = random.Random(seed)
    capacity = {"one": 5, "two": 3, "three": 4}
    room = a_room(**capacity)
    allowed: dict[str, set[str]] = {}
    bound: dict[str, tuple[str, int]] = {}
    amounts = {f"pod-{number}": chance.randint(1, 4) for number in range(12)}
    for _ in range(400):
        name = chance.choice(sorted(amounts))
        if name not in bound and chance.random() < 0.6:
            allowed[name] = reserve(room, name, amounts[name], chance.randint(0, 1))
        elif name not in bound and allowed.get(name):
            node = chance.choice(sorted(allowed[name]))  # whatever the scheduler chooses
            bound[name] = node, amounts[name]
            room.placed(a_key(name), f"uid-{name}", node)
        elif chance.random() < 0.5:
            room.release(a_key(name))
            bound.pop(name, None)
            allowed.pop(name, None)
        for node, most in capacity.items():
            assert sum(amount for place, amount in bound.values() if place == node) <= most
