"""A super pod without what is ours for its /etc/hosts."""

import copy

import pytest

from kube.objects import Object
from vcluster import hosts_file
from vcluster.hosts_file import NAME

OURS = {"name": NAME, "mountPath": "/etc/hosts", "subPath": "hosts"}
THEIRS = {"name": "data", "mountPath": "/data"}


def without(status: Object) -> Object:
    """What is given is left alone."""
    before = copy.deepcopy(status)
    found = hosts_file.in_status(status)
    assert status == before
    return found


def test_a_spec_that_has_nothing_of_ours_is_what_it_was() -> None:
    spec = {"containers": [{"name": "main", "volumeMounts": [THEIRS]}], "volumes": [], "novel": []}
    assert hosts_file.in_spec(spec) == spec


def test_lists_that_only_had_what_is_ours_are_gone() -> None:
    spec: Object = {
        "initContainers": [{"name": NAME, "image": "x"}],
        "containers": [{"name": "main", "volumeMounts": [OURS]}, {"name": "b", "volumeMounts": []}],
        "volumes": [{"name": NAME, "emptyDir": {}}],
    }
    assert hosts_file.in_spec(spec) == {
        "containers": [{"name": "main"}, {"name": "b", "volumeMounts": []}]
    }


def initialized(status: str, *names: str) -> Object:
    message = f"containers with incomplete status: [{' '.join(names)}]"
    said = {"reason": "ContainersNotInitialized", "message": message} if names else {}
    return {"type": "Initialized", "status": status, "lastTransitionTime": "T", **said}


def status_of(name: str, reason: str, *mounts: Object) -> Object:
    waiting = {"waiting": {"reason": reason}}
    return {"name": name, "state": waiting, **({"volumeMounts": [*mounts]} if mounts else {})}


def test_a_pod_without_init_containers_is_being_created_and_not_initialized() -> None:
    unready = {"type": "Ready", "status": "False", "message": "with unready status: [main]"}
    assert without(
        {
            "initContainerStatuses": [status_of(NAME, "PodInitializing")],
            "containerStatuses": [status_of("main", "PodInitializing", OURS)],
            "conditions": [initialized("False", NAME), unready],
        }
    ) == {
        "containerStatuses": [status_of("main", "ContainerCreating")],
        "conditions": [initialized("True"), unready],
    }


def test_a_pod_with_init_containers_is_being_initialized() -> None:
    assert without(
        {
            "initContainerStatuses": [status_of(NAME, "x"), status_of("first", "PodInitializing")],
            "containerStatuses": [status_of("main", "PodInitializing", THEIRS, OURS)],
            "conditions": [initialized("False", NAME, "first")],
        }
    ) == {
        "initContainerStatuses": [status_of("first", "PodInitializing")],
        "containerStatuses": [status_of("main", "PodInitializing", THEIRS)],
        "conditions": [initialized("False", "first")],
    }


def test_other_reasons_to_wait_stay() -> None:
    found = {"containerStatuses": [status_of("main", "ErrImagePull", THEIRS), {"name": "b"}]}
    assert without(found) == found


@pytest.mark.parametrize(
    ("below", "above"),
    [
        (f"incomplete status: [{NAME} a b]", "incomplete status: [a b]"),
        (f"unattached volumes=[a {NAME} b]", "unattached volumes=[a b]"),
        (f"unattached volumes=[a {NAME}]", "unattached volumes=[a]"),
        (f'SetUp failed for volume "{NAME}" : no', 'SetUp failed for volume "/etc/hosts" : no'),
        ("nothing of ours", "nothing of ours"),
    ],
)
def test_messages_do_not_name_it(below: str, above: str) -> None:
    assert hosts_file.unnamed(below) == above
