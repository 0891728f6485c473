"""The files that make a tenant's API server refuse. What they do is tested on real ones."""

from typing import Any

import msgspec
import pytest

from vcluster.control_plane import full_datastore
from vcluster.datastore.limits import Level, Limits, Stage, Standing
from vcluster.datastore.shares import Reading

LIMITS = Limits(objects=1000, size=8 * 2**20, history=5 * 2**20, window=600.0)


def policies() -> dict[str, Any]:
    """By the last word of their names."""
    items = msgspec.json.decode(full_datastore.policies(LIMITS))["items"]
    assert {item["kind"] for item in items} == {"ValidatingAdmissionPolicy"}
    names = [item["metadata"]["name"].removesuffix(".static.k8s.io") for item in items]
    return {name.rpartition("-")[2]: item for name, item in zip(names, items, strict=True)}


def test_all_policies_stand_without_effect() -> None:
    found = policies()
    assert list(found) == ["full", "shut", "slowed", "held", "stopped"]
    for name, item in found.items():
        assert item["spec"]["failurePolicy"] == "Fail"
        operations = item["spec"]["matchConstraints"]["resourceRules"][0]["operations"]
        assert name == "stopped" or "DELETE" not in operations, "deleting is always allowed"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("full", "its share of 1000 objects or 8 MiB"),
        ("shut", "its share of 1000 objects or 8 MiB"),
        ("slowed", "more than 5 MiB within 10 minutes"),
        ("slowed", "objects of more than 8 KiB are refused; wait"),
        ("held", "more than 7.5 MiB within 10 minutes"),
        ("held", "its share of the datastore's history is 5 MiB"),
        ("held", "objects of more than 1 KiB are refused; wait"),
        ("stopped", "everything but deletions is refused; wait"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(name: str, said: str) -> None:
    assert said in policies()[name]["spec"]["validations"][0]["message"]


@pytest.mark.parametrize(
    "standing",
    [
        Standing(Level.FULL),
        Standing(Level.SHUT),
        Standing(stage=Stage.SLOWED),
        Standing(Level.FULL, Stage.HELD),
        Standing(Level.SHUT, Stage.STOPPED),
    ],
)
def test_bindings_switch_on_what_holds(standing: Standing) -> None:
    items = msgspec.json.decode(full_datastore.switch(standing))["items"]
    known = {item["metadata"]["name"]: name for name, item in policies().items()}
    chosen = [known[item["spec"]["policyName"]] for item in items]
    assert chosen == [reached.name.lower() for reached in standing if reached]
    assert all(item["metadata"]["name"].endswith(".static.k8s.io") for item in items), (
        "else the file is not read"
    )


def test_an_empty_file_switches_off() -> None:
    assert full_datastore.switch(Standing()) == b""


@pytest.mark.parametrize("name", ["shut", "slowed", "held", "stopped"])
def test_nobody_is_exempt_but_from_the_first_level(name: str) -> None:
    assert "username" not in policies()[name]["spec"]["validations"][0]["expression"]


@pytest.mark.parametrize(
    ("standing", "reason", "said"),
    [
        (Standing(), "Room", "has room"),
        (Standing(Level.FULL), "Full", "1003 of 1000 objects, 3.0 of 8 MiB: new objects are"),
        (Standing(stage=Stage.HELD), "Held", "Written more than 7.5 MiB within 10 minutes"),
        (Standing(stage=Stage.STOPPED), "Stopped", "everything but deletions is refused"),
        (Standing(Level.SHUT, Stage.SLOWED), "Shut", "until some are deleted; Written more than"),
    ],
)
def test_what_is_told(standing: Standing, reason: str, said: str) -> None:
    told = [
        full_datastore.told(Reading(1003, 3 * 2**20, written, standing), LIMITS)
        for written in (0, 6 * 2**20)
    ]
    assert told[0][0] == reason
    assert said in told[0][1]
    assert told[0] == told[1], "the status would be written all the time"


def test_what_is_used() -> None:
    used = full_datastore.used(Reading(7, 1_500_000, 99, Standing()))
    assert used == {"objects": 7, "size": "1.4Mi"}


def test_limits_of_an_earlier_version_have_the_default_history() -> None:
    effective = {"quota": {"datastore": {"objects": 7, "size": "4Mi"}}}
    assert full_datastore.limits_of(effective, 60.0) == Limits(7, 4 * 2**20, 256 * 2**20, 60.0)
