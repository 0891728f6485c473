"""Which pods belong together."""

from typing import Any

import pytest

from kube.objects import Object
from syncer.admission.gangs import OWNERS, Gang, annotated, controller, pod_group_size, worth_asking
from syncer.kinds.mirror import Refused
from tests.builders import a_pod, with_metadata
from vcluster import api

REPLICAS = {"Master": {"replicas": 1}, "Worker": {"replicas": 3}}


def a_job(**spec: Any) -> Object:
    return {"completions": 4, "parallelism": 4, "completionMode": "Indexed", **spec}


def jobs(*, depends: bool = False, **spec: Any) -> Object:
    template = {"spec": {"parallelism": 2}}
    workers = {"name": "workers", "replicas": 3, "template": template}
    after = {"dependsOn": [{"name": "workers"}]} if depends else {}
    return {
        "replicatedJobs": [{"name": "driver", "template": {"spec": {}}, **after}, workers],
        **spec,
    }


@pytest.mark.parametrize(
    ("group", "kind", "spec", "size"),
    [
        ("batch", "Job", a_job(), 4),
        ("batch", "Job", a_job(completions=8), 0),
        ("batch", "Job", a_job(completionMode="NonIndexed"), 0),
        ("apps", "StatefulSet", {"podManagementPolicy": "Parallel", "replicas": 3}, 3),
        ("apps", "StatefulSet", {"podManagementPolicy": "OrderedReady", "replicas": 3}, 0),
        ("jobset.x-k8s.io", "JobSet", jobs(), 7),
        ("jobset.x-k8s.io", "JobSet", jobs(depends=True), 0),
        (
            "jobset.x-k8s.io",
            "JobSet",
            jobs(startupPolicy={"startupPolicyOrder": "InOrder"}),
            0,
        ),
        ("kubeflow.org", "PyTorchJob", {"pytorchReplicaSpecs": REPLICAS}, 4),
        (
            "kubeflow.org",
            "PyTorchJob",
            {"pytorchReplicaSpecs": REPLICAS, "elasticPolicy": {"minReplicas": 2}},
            2,
        ),
        (
            "kubeflow.org",
            "MPIJob",
            {"mpiReplicaSpecs": {"Launcher": {}, "Worker": {"replicas": 3}}},
            4,
        ),
        (
            "kubeflow.org",
            "MPIJob",
            {
                "launcherCreationPolicy": "WaitForWorkersReady",
                "mpiReplicaSpecs": {"Launcher": {}, "Worker": {"replicas": 3}},
            },
            3,
        ),
        ("ray.io", "RayCluster", {"workerGroupSpecs": [{"replicas": 2, "numOfHosts": 2}]}, 5),
        (
            "ray.io",
            "RayCluster",
            {
                "enableInTreeAutoscaling": True,
                "workerGroupSpecs": [{"replicas": 5, "minReplicas": 1}],
            },
            2,
        ),
    ],
)
def test_the_size_that_an_owner_makes(group: str, kind: str, spec: Object, size: int) -> None:
    assert OWNERS[group, kind].size({"spec": spec}) == size


def marked(**annotations: str) -> Object:
    marks = {f"{api.PREFIX}{name.replace('_', '-')}": value for name, value in annotations.items()}
    return with_metadata(a_pod(), annotations=marks)


def test_an_annotation_names_a_gang() -> None:
    assert annotated(marked(gang="train-1", gang_size="4")) == Gang("default/train-1", 4)
    assert annotated(a_pod()) is None


@pytest.mark.parametrize(
    ("annotations", "says"),
    [
        ({"gang": "a"}, "'' is no size of a gang; it must be 1 to 10000"),
        ({"gang": "a", "gang_size": "many"}, "'many' is no size"),
        ({"gang": "a", "gang_size": "0"}, "'0' is no size"),
        ({"gang": "a", "gang_size": "99999999999999"}, "is no size"),
        ({"gang_size": "3"}, "names no gang"),
        ({"gang": "a b", "gang_size": "3"}, "'a b' names no gang"),
    ],
)
def test_half_a_gang_is_refused(annotations: dict[str, str], says: str) -> None:
    with pytest.raises(Refused, match=says):
        annotated(marked(**annotations))


@pytest.mark.parametrize(
    ("api_version", "version"),
    [
        ("kubeflow.org/v1", "v1"),  # the training operator's
        ("kubeflow.org/v2beta1", "v2beta1"),  # the MPI operator's
        ("kubeflow.org/v1?watch=true", "v2beta1"),
        ("kubeflow.org/..", "v2beta1"),
    ],
)
def test_an_owner_is_read_at_the_version_that_its_pods_name(api_version: str, version: str) -> None:
    owner = controller(owned("MPIJob", api_version))
    assert owner is not None
    assert owner.resource.path("ns", "o") == (
        f"/apis/kubeflow.org/{version}/namespaces/ns/mpijobs/o"
    )


def owned(kind: str, api_version: str, *labels: str) -> Object:
    reference = {
        "apiVersion": api_version,
        "kind": kind,
        "name": "o",
        "uid": "u",
        "controller": True,
    }
    return with_metadata(a_pod(), ownerReferences=[reference], labels=dict.fromkeys(labels, "x"))


@pytest.mark.parametrize(
    ("pod", "plenty", "scarce"),
    [
        (owned("Job", "batch/v1"), False, False),
        (owned("Job", "batch/v1", "batch.kubernetes.io/job-completion-index"), False, True),
        (owned("Job", "batch/v1", "jobset.sigs.k8s.io/jobset-name"), True, True),
        (owned("Job", "batch/v1", "training.kubeflow.org/job-name"), True, True),
        (owned("StatefulSet", "apps/v1"), False, True),
        (owned("RayCluster", "ray.io/v1"), True, True),
    ],
)
def test_only_owners_that_can_make_a_gang_cost_a_request(
    pod: Object, plenty: bool, scarce: bool
) -> None:
    owner = controller(pod)
    assert owner is not None
    assert worth_asking(pod, owner, scarce=False) is plenty
    assert worth_asking(pod, owner, scarce=True) is scarce


def test_most_owners_make_no_gang() -> None:
    assert controller(a_pod()) is None
    assert controller(owned("ReplicaSet", "apps/v1")) is None
    assert controller(owned("Job", "example.com/v1")) is None  # another one's Job


def test_a_native_pod_group() -> None:
    assert pod_group_size({"spec": {"schedulingPolicy": {"gang": {"minCount": 4}}}}) == 4
    assert pod_group_size({"spec": {"schedulingPolicy": {"basic": {}}}}) == 0
