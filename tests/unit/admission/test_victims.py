"""Which pods give way on which node."""

from typing import Any

import pytest

from kube.objects import Object, ObjectKey
from syncer.admission.nodes import NodeRoom, Wanted, placement
from syncer.admission.pod_usage import Usage
from syncer.admission.victims import Occupant, Plan, best, only_needs_room, plan
from tests.builders import a_pod

ANYWHERE = placement({})


def wants(**amounts: int) -> Wanted:
    return Wanted(amounts, ANYWHERE)


def a_room(name: str = "node-1", **allocatable: int) -> NodeRoom:
    return NodeRoom(name, {}, (), allocatable or {"cpu": 4, "pods": 10})


def a_resident(name: str, cpu: int, priority: int | None = 0, **more: Any) -> Occupant:
    amounts = {"cpu": cpu, "pods": 1}
    return Occupant(ObjectKey("ns", name), name, amounts, priority=priority, **more)


def gone(found: Plan | None) -> list[str] | None:
    return None if found is None else sorted(victim.uid for victim in found.victims)


def made(
    wanted: Wanted,
    *residents: Occupant,
    node: NodeRoom | None = None,
    promised: tuple[Usage, ...] = (),
) -> Plan | None:
    return plan(wanted, node or a_room(), residents, promised)


def test_only_as_many_go_as_have_to() -> None:
    residents = [a_resident("a", 1, since="1"), a_resident("b", 1, since="2")]
    residents += [a_resident("c", 1, since="3"), a_resident("d", 1, since="4")]
    assert gone(made(wants(cpu=2), *residents)) == ["c", "d"]  # the youngest


def test_the_least_important_go_first() -> None:
    found = made(wants(cpu=2), a_resident("a", 2, 5), a_resident("b", 2, 1, since="old"))
    assert gone(found) == ["b"]


def test_what_a_budget_guards_stays_if_anything_else_helps() -> None:
    guarded = a_resident("a", 2, -5, guarded=True)
    assert gone(made(wants(cpu=2), guarded, a_resident("b", 2, 7))) == ["b"]
    assert gone(made(wants(cpu=4), guarded, a_resident("b", 2, 7))) == ["a", "b"]


def test_those_that_may_not_give_way_never_do() -> None:
    others = a_resident("other", 2, None)
    assert gone(made(wants(cpu=2), others, a_resident("own", 2))) == ["own"]
    assert made(wants(cpu=3), others, a_resident("own", 2)) is None


def test_any_resource_counts_and_one_that_the_node_has_not_is_never_enough() -> None:
    node = a_room(cpu=4, pods=2)
    full = [a_resident("a", 1), a_resident("b", 1, None)]
    assert gone(made(wants(cpu=1, pods=1), *full, node=node)) == ["a"]
    assert made(wants(cpu=1, gpu=1), *full, node=node) is None
    assert gone(made(wants(cpu=1, gpu=0), a_resident("a", 4))) == ["a"]


def test_the_room_of_pods_that_leave_is_waited_for() -> None:
    leaving = a_resident("a", 2, leaving=True)
    assert made(wants(cpu=2), leaving, a_resident("b", 2)) == Plan("node-1", (), waits=True)
    others = a_resident("other", 2, None, leaving=True)  # its room is anybody's
    assert gone(made(wants(cpu=2), others, a_resident("b", 2))) == ["b"]


def test_what_was_promised_to_another_pod_is_not_given_twice() -> None:
    leaving = a_resident("a", 2, leaving=True)
    found = made(wants(cpu=2), leaving, a_resident("b", 2), promised=({"cpu": 2},))
    assert gone(found) == ["b"]


def test_the_plan_that_does_the_least_harm() -> None:
    def planned(node: str, *victims: Occupant) -> Plan:
        return Plan(node, victims, waits=False)

    none = planned("none")
    guarded = planned("guarded", a_resident("g", 1, -9, guarded=True))
    high, low = planned("high", a_resident("h", 1, 3)), planned("low", a_resident("l", 1, 1))
    two = planned("two", a_resident("x", 1, 1), a_resident("y", 1, 1))
    assert best([]) is None
    assert best([guarded, high, two, low, none]) is none
    assert best([guarded, high, two, low]) is low
    assert best([guarded, high, two]) is two
    assert best([guarded, high]) is high


REQUIRED = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}
PREFERRED = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}


@pytest.mark.parametrize(
    ("spec", "only_room"),
    [
        ({}, True),
        ({"affinity": {"podAffinity": REQUIRED}}, False),
        ({"affinity": {"podAntiAffinity": REQUIRED}}, False),
        ({"affinity": {"podAntiAffinity": PREFERRED, "nodeAffinity": {}}}, True),
        ({"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]}, False),
        ({"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}]}, True),
        ({"volumes": [{"name": "v", "emptyDir": {}}]}, True),
        ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}, False),
        ({"volumes": [{"name": "v", "ephemeral": {}}]}, False),
        ({"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}]}, False),
        ({"initContainers": [{"name": "i", "ports": [{"hostPort": 80}]}]}, False),
        ({"initContainers": [{"name": "i", "ports": [{"containerPort": 80}]}]}, True),
    ],
)
def test_pods_that_depend_on_more_than_room(spec: Object, only_room: bool) -> None:
    assert only_needs_room(a_pod(**spec)["spec"]) is only_room
