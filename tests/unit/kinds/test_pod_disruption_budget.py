"""PodDisruptionBudgets, downward."""

from typing import Any

import pytest

from kube.objects import Object
from syncer.kinds.pod_disruption_budget import POD_DISRUPTION_BUDGET
from tests.unit.kinds.builders import ACME, live, merged, metadata

COUNTED = {"observedGeneration": 2, "expectedPods": 4, "desiredHealthy": 3, "currentHealthy": 4}
FAILED = [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed"}]


def a_budget(status: Object | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata("guard", generation=2),
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, **spec},
        "status": COUNTED if status is None else status,
    }


def below(budget: Object) -> Object:
    wanted = POD_DISRUPTION_BUDGET.to_super(budget, ACME)
    assert wanted is not None
    return wanted


@pytest.mark.parametrize("number", [0, 1, 7])
def test_a_number_of_pods_passes(number: int) -> None:
    budget = a_budget(minAvailable=number, unhealthyPodEvictionPolicy="AlwaysAllow", novel=1)
    assert below(budget)["spec"] == budget["spec"]


@pytest.mark.parametrize(
    "spec",
    [{"maxUnavailable": 1}, {"maxUnavailable": "25%"}, {"minAvailable": "75%"}, {}],
)
def test_what_is_counted_by_owners_goes_down_as_the_tenant_counts(spec: Object) -> None:
    wanted = below(a_budget(novel=1, **spec))["spec"]
    assert wanted == {
        "selector": {"matchLabels": {"app": "shop"}},
        "novel": 1,
        "minAvailable": 3,
    }


def test_none_that_must_stay_is_a_number_too() -> None:
    status = {name: value for name, value in COUNTED.items() if name != "desiredHealthy"}
    assert below(a_budget(status, maxUnavailable=4))["spec"]["minAvailable"] == 0


@pytest.mark.parametrize(
    "status",
    [
        {},
        COUNTED | {"observedGeneration": 1},  # of an earlier spec
        COUNTED | {"conditions": FAILED},
        COUNTED | {"expectedPods": 0},  # no owner is known, in the tenant either
    ],
)
def test_until_it_is_counted_no_pod_may_go(status: Object) -> None:
    budget = a_budget(status, maxUnavailable="50%")
    assert below(budget)["spec"] == budget["spec"], "the super cluster finds no owners"


def test_a_new_count_is_one_patch() -> None:
    mirror = live(below(a_budget({}, maxUnavailable=1)))
    wanted = below(a_budget(maxUnavailable=1))
    patch = POD_DISRUPTION_BUDGET.patch(mirror, wanted)
    assert patch is not None
    assert patch["spec"] == {"maxUnavailable": None, "minAvailable": 3}
    assert POD_DISRUPTION_BUDGET.patch(merged(mirror, patch), wanted) is None


def test_healthy_pods_that_come_and_go_write_nothing() -> None:
    mirror = live(below(a_budget(maxUnavailable=1)))
    changed = a_budget(COUNTED | {"currentHealthy": 2, "disruptionsAllowed": 0}, maxUnavailable=1)
    assert POD_DISRUPTION_BUDGET.patch(mirror, below(changed)) is None
