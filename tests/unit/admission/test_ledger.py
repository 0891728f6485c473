"""The ledger's sum is exact, and room goes to the oldest."""

import random

import pytest

from kube.objects import ObjectKey
from kube.quantities import NANOS
from syncer.admission.ledger import Item, Ledger, Shortage, describe

GPU = "requests.nvidia.com/gpu"


def an_item(name: str) -> Item:
    return Item("pods", ObjectKey("super", name))


def usage(gpus: int) -> dict[str, int]:
    return {"pods": NANOS, GPU: gpus * NANOS}


def a_ledger(**hard: int) -> Ledger:
    ledger = Ledger()
    names = {"gpus": GPU}
    ledger.hard = {names.get(key, key): value * NANOS for key, value in hard.items()}
    ledger.known = True
    return ledger


def ask(ledger: Ledger, name: str, gpus: int, age: int = 0) -> Shortage | None:
    return ledger.claim(name, (1, 0, "", age), {an_item(name): usage(gpus)})


def test_nothing_is_granted_before_the_use_is_known() -> None:
    ledger = a_ledger(gpus=4)
    ledger.known = False
    assert ask(ledger, "a", 1) is not None
    assert ledger.grant() == []
    ledger.known = True
    assert ledger.grant() == ["a"]


def test_says_what_is_used_wanted_and_allowed() -> None:
    ledger = a_ledger(gpus=4, pods=10)
    assert ask(ledger, "a", 3) is None
    short = ask(ledger, "b", 2)
    assert short is not None
    assert describe(short) == f"{GPU}: 3 used, 2 wanted, 4 allowed"
    too_much = ask(ledger, "c", 5)
    assert too_much is not None
    assert "more than the quota allows at all" in describe(too_much)


def test_all_of_a_gang_or_none() -> None:
    ledger = a_ledger(gpus=4)
    assert ask(ledger, "a", 1) is None
    items = {an_item(f"m{index}"): usage(1) for index in range(4)}
    assert ledger.claim("gang", (1, 0, "", 1), items) is not None
    assert ledger.used[GPU] == NANOS
    ledger.settle(an_item("a"))
    assert ledger.grant() == ["gang"]
    assert ledger.used[GPU] == 4 * NANOS


def test_the_oldest_goes_first_and_keeps_its_place() -> None:
    ledger = a_ledger(gpus=4)
    assert ask(ledger, "running", 4) is None
    for name, gpus, age in (("third", 1, 3), ("first", 3, 1), ("second", 1, 2)):
        assert ask(ledger, name, gpus, age) is not None
    ledger.observe(an_item("running"), usage(2))
    ledger.settle(an_item("running"))
    assert ledger.grant() == []  # room for the second, but the first waits for that
    assert ask(ledger, "late", 1, 4) is not None
    ledger.observe(an_item("running"), None)
    assert ledger.grant() == ["first", "second"]


def test_what_can_never_fit_keeps_nobody_waiting() -> None:
    ledger = a_ledger(gpus=4)
    assert ask(ledger, "giant", 5, 1) is not None
    assert ask(ledger, "small", 4, 2) is None


def test_who_waits_for_devices_does_not_keep_pods_without_waiting() -> None:
    ledger = a_ledger(gpus=1, pods=10)
    assert ask(ledger, "a", 1) is None
    assert ask(ledger, "b", 1, 1) is not None
    assert ask(ledger, "plain", 0, 2) is None


def test_a_reservation_lasts_until_its_outcome_is_known() -> None:
    ledger = a_ledger(gpus=1)
    item = an_item("a")
    assert ask(ledger, "a", 1) is None
    assert not ledger.observe(item, None)  # the predecessor of the same name has gone
    assert ask(ledger, "b", 1, 1) is not None
    ledger.observe(item, usage(1))
    assert not ledger.settle(item)
    assert ledger.used[GPU] == NANOS
    assert ledger.observe(item, {"count/pods": NANOS})  # it has ended
    assert ledger.grant() == ["b"]


def test_a_growth_is_charged_before_it_shows() -> None:
    ledger = a_ledger(gpus=4)
    ledger.observe(an_item("a"), usage(1))
    assert ask(ledger, "a", 3) is None
    ledger.observe(an_item("a"), usage(1))  # an event from before
    assert ledger.used[GPU] == 3 * NANOS
    assert ask(ledger, "b", 2) is not None


@pytest.mark.parametrize("seed", range(20))
def test_never_more_than_allowed_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    ledger = a_ledger(gpus=7, pods=5)
    live: dict[str, int] = {}
    for step in range(400):
        action = rng.random()
        name = f"p{rng.randrange(12)}"
        if action < 0.5 and name not in live:
            wanted = rng.randrange(4)
            if ask(ledger, name, wanted, step) is None:
                live[name] = wanted
                ledger.observe(an_item(name), usage(wanted))
        elif action < 0.6 and name in live:
            ledger.settle(an_item(name))
        elif name in live:
            del live[name]
            ledger.settle(an_item(name))
            ledger.observe(an_item(name), None)
            for granted in ledger.grant():
                ledger.settle(an_item(str(granted)))
        assert sum(live.values()) <= 7
        assert len(live) <= 5
        assert ledger.used.get(GPU, 0) == sum(live.values()) * NANOS
