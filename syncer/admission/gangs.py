"""Which pods belong together: they go down together, or not at all. Pure.

A gang is named by an annotation of the pod, by a native PodGroup, or by one of the pod's owners.
A new kind of owner is one entry of OWNERS.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kube.objects import Object
from kube.resources import Resource
from syncer.kinds.mirror import Refused
from vcluster import api

MAXIMUM_SIZE = 10_000
_VERSION = re.compile(r"v[0-9]+((alpha|beta)[0-9]+)?")
"""Of an API, as Kubernetes counts them."""


class Gang(NamedTuple):
    """A gang of one tenant."""

    name: str
    """Unique in the tenant: ``<namespace>/<group>`` or the owner's UID. No white space."""
    size: int
    """How many pods it takes to begin."""

    @property
    def mark(self) -> str:
        """What its super pods carry."""
        return f"{self.name} {self.size}"

    @classmethod
    def from_mark(cls, mark: str) -> "Gang":
        """The gang of a super pod."""
        name, _, size = mark.partition(" ")
        return cls(name, int(size) if size.isdigit() else 0)


class Owner(NamedTuple):
    """The controller of an object."""

    group: str
    version: str
    kind: str
    name: str
    uid: str

    @property
    def resource(self) -> Resource:
        """Where it is read: at the version that its pods name, which its operator has.

        That is somebody's word, and becomes a part of a path.
        """
        usual = OWNERS[self.group, self.kind].resource
        return usual._replace(version=self.version) if _VERSION.fullmatch(self.version) else usual


@dataclass(frozen=True, slots=True)
class OwnerKind:
    """An owner that may make its pods a gang."""

    resource: Resource
    size: Callable[[Object], int]
    """How many pods it makes at once; 0: it makes no gang."""


def _indexed_job(job: Object) -> int:
    """An Indexed Job that wants all of its pods at the same time."""
    spec = job["spec"]
    together = spec.get("completions") == spec.get("parallelism")
    indexed = spec.get("completionMode") == "Indexed"
    return int(spec["parallelism"]) if indexed and together and not spec.get("suspend") else 0


def _parallel_stateful_set(stateful_set: Object) -> int:
    spec = stateful_set["spec"]
    parallel = spec.get("podManagementPolicy") == "Parallel"
    return int(spec.get("replicas", 1)) if parallel else 0


def _job_set(job_set: Object) -> int:
    spec = job_set["spec"]
    jobs = spec.get("replicatedJobs") or ()
    in_order = (spec.get("startupPolicy") or {}).get("startupPolicyOrder") == "InOrder"
    if in_order or any(job.get("dependsOn") for job in jobs):
        return 0  # its jobs do not begin together; each may be a gang of its own
    return sum(
        job.get("replicas", 1) * (job["template"]["spec"].get("parallelism") or 1) for job in jobs
    )


def _replica_specs(field: str) -> Callable[[Object], int]:
    def size(job: Object) -> int:
        spec = job["spec"]
        if spec.get("elasticPolicy"):
            return int(spec["elasticPolicy"].get("minReplicas") or 0)
        return sum(_replicas(part) for part in (spec.get(field) or {}).values())

    return size


def _mpi_job(job: Object) -> int:
    spec = job["spec"]
    late = spec.get("launcherCreationPolicy") == "WaitForWorkersReady"
    replicas = spec.get("mpiReplicaSpecs") or {}
    return sum(
        _replicas(part) for role, part in replicas.items() if not (late and role == "Launcher")
    )


def _ray_cluster(cluster: Object) -> int:
    spec = cluster["spec"]
    field = "minReplicas" if spec.get("enableInTreeAutoscaling") else "replicas"
    groups = spec.get("workerGroupSpecs") or ()
    return 1 + sum(
        (group.get(field) or 0) * (group.get("numOfHosts") or 1)
        for group in groups
        if not group.get("suspend")
    )


def _replicas(part: Mapping[str, Any]) -> int:
    replicas = part.get("replicas")
    return 1 if replicas is None else int(replicas)


_TRAINING = ("kubeflow.org", "v1")
_REPLICATED = {
    "PyTorchJob": "pytorchReplicaSpecs",
    "TFJob": "tfReplicaSpecs",
    "XGBoostJob": "xgbReplicaSpecs",
    "PaddleJob": "paddleReplicaSpecs",
    "JAXJob": "jaxReplicaSpecs",
}
_ALL = (
    OwnerKind(Resource("batch", "v1", "jobs", "Job"), _indexed_job),
    OwnerKind(Resource("apps", "v1", "statefulsets", "StatefulSet"), _parallel_stateful_set),
    OwnerKind(Resource("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet"), _job_set),
    *(
        OwnerKind(Resource(*_TRAINING, f"{kind.lower()}s", kind), _replica_specs(field))
        for kind, field in _REPLICATED.items()
    ),
    OwnerKind(Resource("kubeflow.org", "v2beta1", "mpijobs", "MPIJob"), _mpi_job),
    OwnerKind(Resource("ray.io", "v1", "rayclusters", "RayCluster"), _ray_cluster),
)
OWNERS: Mapping[tuple[str, str], OwnerKind] = {
    (kind.resource.group, kind.resource.kind): kind for kind in _ALL
}
"""By API group and kind. A TrainJob makes a JobSet, a RayJob a RayCluster: those are here."""

POD_GROUPS = Resource("scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup")

_INDEX = "batch.kubernetes.io/job-completion-index"
"""On the pods of Indexed Jobs."""
_HIGHER = ("jobset.sigs.k8s.io/jobset-name", "training.kubeflow.org/job-name")
"""On the pods of Jobs that something else has made."""


def annotated(pod: Object) -> Gang | None:
    """The gang that the pod's annotations name. Raises Refused for half a name."""
    metadata = pod["metadata"]
    marks = metadata.get("annotations") or {}
    name, size = marks.get(api.GANG_ANNOTATION), marks.get(api.GANG_SIZE_ANNOTATION)
    if name is None and size is None:
        return None
    if not name or len(name) > 63 or not name.replace("-", "").replace(".", "").isalnum():
        raise Refused(
            f"metadata.annotations[{api.GANG_ANNOTATION}]",
            "InvalidGang",
            f"{(name or '')[:63]!r} names no gang; it must have 1 to 63 letters, digits, '-' or '.'",
        )
    if not size or not (size.isascii() and size.isdigit()) or not 0 < int(size[:9]) <= MAXIMUM_SIZE:
        raise Refused(
            f"metadata.annotations[{api.GANG_SIZE_ANNOTATION}]",
            "InvalidGang",
            f"{(size or '')[:20]!r} is no size of a gang; it must be 1 to {MAXIMUM_SIZE}",
        )
    return Gang(f"{metadata['namespace']}/{name}", int(size))


def pod_group(pod: Object) -> str:
    """The native PodGroup of the pod; empty: none."""
    return str((pod["spec"].get("schedulingGroup") or {}).get("podGroupName") or "")


def pod_group_size(group: Object) -> int:
    """How many pods a native PodGroup takes to begin; 0: it makes no gang."""
    policy = group["spec"].get("schedulingPolicy") or {}
    return int((policy.get("gang") or {}).get("minCount") or 0)


def controller(obj: Object) -> Owner | None:
    """The owner that controls the object, if that may make a gang or may have an owner that does."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            group, _, version = reference["apiVersion"].rpartition("/")
            owner = Owner(group, version, reference["kind"], reference["name"], reference["uid"])
            return owner if (group, owner.kind) in OWNERS else None
    return None


def worth_asking(pod: Object, owner: Owner, *, scarce: bool) -> bool:
    """The owner is worth a request: it may make a gang, for which something may be scarce.

    ``scarce``: the pod wants devices, or its tenant has a quota. All pods of a Job or a StatefulSet are
    alike, so without that there is nothing that they could hold back from each other.
    """
    if owner.kind not in ("Job", "StatefulSet"):
        return True
    labels = pod["metadata"].get("labels") or {}
    if owner.kind == "Job":
        if any(name in labels for name in _HIGHER):
            return True
        return scarce and _INDEX in labels
    return scarce
