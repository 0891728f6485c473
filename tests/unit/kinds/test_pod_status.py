"""A super pod's status as its tenant may read it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from kube.objects import Object
from syncer.kinds import pod_status
from tests.unit.kinds.builders import SUPER_UID, TENANT_UID
from tests.unit.kinds.test_pod import unknown
from vcluster import api, hosts_file

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
GATE = {"type": "example.com/warm", "status": "True", "reason": "Warmed"}


def view(status: Object, shown: int = 1, generation: int = 1) -> pod_status.SuperPodView:
    marks = {api.GENERATION_ANNOTATION: str(shown), api.UID_ANNOTATION: TENANT_UID}
    metadata = {
        "name": "shop",
        "namespace": "acme-1f3a9c2e-web",
        "uid": SUPER_UID,
        "resourceVersion": "7",
        "generation": generation,
        "annotations": marks,
    }
    pod = {"metadata": metadata, "spec": {"nodeName": "node-1"}, "status": status}
    return pod_status.decode(msgspec.json.encode(pod))


def up(
    status: Object,
    *,
    qos: str = "Burstable",
    own: dict[str, Object] | None = None,
    **versions: int,
) -> Object:
    body = pod_status.to_tenant(
        view(status, **versions), qos=qos, namespace="web", own_conditions=own or {}
    )
    found: Object = msgspec.json.decode(body)
    return found


@settings(max_examples=50)
@given(novel=unknown, in_condition=unknown, own=unknown)
def test_a_field_that_the_syncer_does_not_know_goes_up(
    novel: Object, in_condition: Object, own: Object
) -> None:
    condition = READY | in_condition | {"observedGeneration": 1}
    conditions = {GATE["type"]: GATE | own}
    found = up({"phase": "Running", "conditions": [condition], **novel}, own=conditions)
    assert {field: found[field] for field in novel} == novel
    assert found["conditions"] == [condition, GATE | own]


def test_what_the_kubelet_says_goes_up_unchanged() -> None:
    status = {
        "phase": "Running",
        "conditions": [READY],
        "podIP": "10.244.0.7",
        "podIPs": [{"ip": "10.244.0.7"}],
        "hostIP": "192.0.2.7",
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [{"name": "main", "restartCount": 3, "ready": True}],
        "qosClass": "Burstable",
    }
    assert up(status) == status


def test_the_class_of_service_cannot_change_and_stays_the_tenants() -> None:
    assert up({"phase": "Running", "qosClass": "Guaranteed"})["qosClass"] == "Burstable"


def test_a_tenants_pod_without_a_class_of_service_shows_the_super_pods() -> None:
    assert up({"qosClass": "Guaranteed"}, qos="")["qosClass"] == "Guaranteed"


# Conditions: each type has one owner.


def test_the_tenants_own_readiness_gates_survive_whatever_the_super_pod_says_of_them() -> None:
    stale = GATE | {"status": "False", "reason": "Old"}
    found = up({"conditions": [stale, READY]}, own={GATE["type"]: GATE})
    assert found["conditions"] == [READY, GATE]


def test_conditions_of_the_super_cluster_win_for_all_other_types() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    assert up({"conditions": [scheduled, READY]})["conditions"] == [scheduled, READY]


def test_the_tenants_conditions_are_shown_even_if_the_super_pod_has_none() -> None:
    assert up({"phase": "Pending"}, own={GATE["type"]: GATE})["conditions"] == [GATE]


@pytest.mark.parametrize(("status", "has"), [({"conditions": [READY]}, True), ({}, False)])
def test_whether_there_is_a_condition(status: Object, has: bool) -> None:
    assert pod_status.has_condition(view(status).status, "Ready") is has


SAID = "0/1 nodes are available: 1 Insufficient cpu."
NO_PLACE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": SAID}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"conditions": [READY, NO_PLACE]}, SAID),
        ({"conditions": [NO_PLACE | {"reason": "SchedulerError"}]}, ""),
        ({"conditions": [NO_PLACE | {"reason": "SchedulingGated"}]}, ""),
        ({"conditions": [NO_PLACE | {"status": "True"}]}, ""),
        ({"conditions": [READY | {"reason": "Unschedulable", "message": SAID}]}, ""),
        ({"conditions": [{"type": "PodScheduled", "status": "False"}]}, ""),
        ({"conditions": []}, ""),
        ({}, ""),
    ],
)
def test_what_the_scheduler_says_of_a_pod_without_a_place(status: Object, said: str) -> None:
    assert pod_status.unschedulable(view(status).status) == said


# Generations: the mirror counts its own.


@pytest.mark.parametrize(
    ("observed", "generation", "shown", "expected"),
    [
        pytest.param(1, 1, 1, 1, id="a new pod"),
        pytest.param(4, 4, 2, 2, id="the kubelet has seen all that the mirror shows"),
        pytest.param(3, 4, 2, 1, id="the kubelet is one behind"),
        pytest.param(1, 9, 2, 1, id="never below the first"),
        pytest.param(5, 4, 2, 2, id="the bytes are older than what they tell of"),
    ],
)
def test_observed_generations_are_the_tenants(
    observed: int, generation: int, shown: int, expected: int
) -> None:
    status = {
        "observedGeneration": observed,
        "conditions": [READY | {"observedGeneration": observed}, READY],
    }
    found = up(status, shown=shown, generation=generation)
    assert found["observedGeneration"] == expected
    assert found["conditions"] == [READY | {"observedGeneration": expected}, READY]


# Law 4: no name of the super cluster's.


def test_neither_the_super_namespace_nor_the_super_pod_is_named() -> None:
    message = f'pod "acme-1f3a9c2e-web/shop" waits; acme-1f3a9c2e-web has no room ({SUPER_UID})'
    status = {
        "message": message,
        "conditions": [READY | {"message": message}],
        "containerStatuses": [{"state": {"waiting": {"message": message}}}],
    }
    found = up(status)
    assert "acme-1f3a9c2e" not in str(found)
    assert SUPER_UID not in str(found)
    assert found["message"] == f'pod "web/shop" waits; web has no room ({TENANT_UID})'


def test_what_the_scheduler_says_of_our_priority_class_is_left_out() -> None:
    why = "0/1 nodes are available: 1 Insufficient cpu."
    message = f"{why} preemption: not eligible due to preemptionPolicy=Never."
    found = up({"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]})
    assert found["conditions"][0]["message"] == why


def test_the_init_container_that_is_ours_is_not_shown() -> None:
    """tests/unit/test_hosts_file.py has the cases; here, that it concerns all parts of a status."""
    waiting = {"waiting": {"reason": "PodInitializing"}}
    mounts = [{"name": hosts_file.NAME, "mountPath": "/etc/hosts"}]
    message = f"containers with incomplete status: [{hosts_file.NAME}]"
    initialized = {"type": "Initialized", "status": "False", "message": message}
    found = up(
        {
            "phase": "Pending",
            "novel": {"kept": 1.5},
            "initContainerStatuses": [{"name": hosts_file.NAME, "state": waiting}],
            "containerStatuses": [{"name": "main", "state": waiting, "volumeMounts": mounts}],
            "conditions": [initialized | {"observedGeneration": 1}, READY],
        },
        own={GATE["type"]: GATE},
    )
    assert found == {
        "phase": "Pending",
        "novel": {"kept": 1.5},
        "qosClass": "Burstable",
        "containerStatuses": [
            {"name": "main", "state": {"waiting": {"reason": "ContainerCreating"}}}
        ],
        "conditions": [
            {"type": "Initialized", "status": "True", "observedGeneration": 1},
            READY,
            GATE,
        ],
    }


# The binding says so already.


@pytest.mark.parametrize(
    ("status", "only"),
    [
        ({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}, True),
        ({"phase": "Pending", "qosClass": "BestEffort"}, True),
        ({}, True),
        ({"phase": "Running"}, False),
        ({"conditions": [{"type": "PodScheduled", "status": "False"}]}, False),
        ({"conditions": [READY]}, False),
        ({"phase": "Pending", "startTime": "2026-01-01T00:00:00Z"}, False),
        ({"phase": "Pending", "fieldOfTheFuture": 1}, False),
    ],
)
def test_a_status_that_only_says_scheduled_needs_no_write(status: Any, only: bool) -> None:
    assert pod_status.says_only_scheduled(view(status).status) is only
