"""The files that make a tenant's API server refuse. What they do is tested on real ones."""

import msgspec
import pytest

from vcluster.control_plane import full_datastore
from vcluster.datastore.limits import Level, Limits
from vcluster.datastore.shares import Reading

LIMITS = Limits(objects=1000, size=8 * 2**20)


def test_both_policies_stand_without_effect() -> None:
    items = msgspec.json.decode(full_datastore.policies(LIMITS))["items"]
    assert {item["kind"] for item in items} == {"ValidatingAdmissionPolicy"}
    for item in items:
        assert item["spec"]["failurePolicy"] == "Fail"
        assert "1000 objects or 8 MiB" in item["spec"]["validations"][0]["message"]
        operations = item["spec"]["matchConstraints"]["resourceRules"][0]["operations"]
        assert "DELETE" not in operations, "deleting is always allowed"


@pytest.mark.parametrize("level", [Level.FULL, Level.SHUT])
def test_a_binding_switches_one_on(level: Level) -> None:
    items = msgspec.json.decode(full_datastore.policies(LIMITS))["items"]
    binding = msgspec.json.decode(full_datastore.switch(level))
    (chosen,) = (
        item for item in items if item["metadata"]["name"] == binding["spec"]["policyName"]
    )
    assert level.name.lower() in chosen["metadata"]["name"]
    assert chosen["metadata"]["name"].endswith(".static.k8s.io"), "else the file is not read"


def test_an_empty_file_switches_off() -> None:
    assert full_datastore.switch(Level.OPEN) == b""


def test_nobody_is_exempt_from_the_second_level() -> None:
    shut = msgspec.json.decode(full_datastore.policies(LIMITS))["items"][1]
    assert "username" not in shut["spec"]["validations"][0]["expression"]


def test_what_is_told() -> None:
    reason, message = full_datastore.told(Reading(1003, 3 * 2**20, Level.FULL), LIMITS)
    assert reason == "Full"
    assert message.startswith("1003 of 1000 objects, 3.0 of 8 MiB")
    assert full_datastore.used(Reading(7, 1_500_000, Level.OPEN)) == {"objects": 7, "size": "1.4Mi"}
