"""What an API server does to objects of certain kinds when they are created or changed."""

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from kube.objects import Object
from tests.fakes.status import StatusError, invalid
from tests.fakes.targets import Target

_STATUS_SUBRESOURCE = frozenset(
    {
        "pods",
        "nodes",
        "services",
        "namespaces",
        "jobs",
        "deployments",
        "persistentvolumeclaims",
        "persistentvolumes",
        "ingresses",
        "volumesnapshots",
        "resourceclaims",
        "podcertificaterequests",
        "servicecidrs",
        "virtualclusters",
        "widgets",  # a custom resource of tests
    }
)
_KEEPS_STATUS_ON_CREATE = frozenset({"nodes"})
_NO_GENERATION = frozenset(
    {"nodes", "namespaces", "services", "persistentvolumeclaims", "persistentvolumes", "leases"}
)
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")
_DNS_LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_DNS_SUBDOMAIN = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
_ANNOTATIONS_LIMIT = 256 * 1024

_POD_MUTABLE = frozenset({"tolerations", "activeDeadlineSeconds", "schedulingGates"})
_POD_MUTABLE_WHILE_GATED = frozenset({"nodeSelector", "affinity"})


def has_status_subresource(target: Target) -> bool:
    """Whether ordinary writes leave the status alone."""
    return target.plural in _STATUS_SUBRESOURCE


def prepare_create(target: Target, obj: Object) -> None:
    """Set the defaults of a new object, in place. Raises 422."""
    validate_metadata(target, obj)
    if has_status_subresource(target) and target.plural not in _KEEPS_STATUS_ON_CREATE:
        obj.pop("status", None)
    if "spec" in obj and target.plural not in _NO_GENERATION:
        obj["metadata"]["generation"] = 1
    if target.plural == "namespaces":
        _prepare_namespace(obj)
    elif target.plural == "pods":
        _prepare_pod(obj)


def _prepare_namespace(obj: Object) -> None:
    name = obj["metadata"]["name"]
    if not _DNS_LABEL.match(name):
        raise invalid("Namespace", name, "metadata.name", f"Invalid value: {name!r}")
    labels = obj["metadata"].get("labels") or {}
    obj["metadata"]["labels"] = labels | {"kubernetes.io/metadata.name": name}
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def _prepare_pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("containers"):
        raise invalid("Pod", obj["metadata"]["name"], "spec.containers", "Required value")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}


def validate_metadata(target: Target, obj: Object) -> None:
    """Names, label values and sizes, as for every kind. Raises 422."""
    metadata, kind = obj["metadata"], target.kind
    name = metadata["name"]
    lenient = target.group == "rbac.authorization.k8s.io" or target.plural == "flowschemas"
    if not lenient and not _DNS_SUBDOMAIN.match(name):
        raise invalid(kind, name, "metadata.name", f"Invalid value: {name!r}")
    for key, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str) or not _LABEL_VALUE.match(value):
            raise invalid(kind, name, "metadata.labels", f"Invalid value: {value!r} of {key}")
    annotations = metadata.get("annotations") or {}
    if not all(isinstance(value, str) for value in annotations.values()):
        raise invalid(kind, name, "metadata.annotations", "values must be strings")
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS_LIMIT:
        raise invalid(kind, name, "metadata.annotations", "Too long: may not be more than 262144")


def merge_update(target: Target, old: Object, new: Object) -> Object:
    """The object that a write makes of ``old``: only what this subresource may change. Raises 422."""
    if new["metadata"].get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        raise invalid(target.kind, target.name, "metadata.uid", "field is immutable")
    result = new | {"metadata": _kept_metadata(old, new)}
    validate_metadata(target, result)
    subresource = target.subresource
    if subresource == "status":
        result = old | {"metadata": result["metadata"], "status": new.get("status", {})}
        return _without_empty_status(result)
    if has_status_subresource(target):
        result = _with_status_of(old, result)
    if target.plural == "pods":
        _check_pod(subresource, old, result)
    elif target.plural == "services":
        _check_service(old, result)
    elif old.get("immutable") and any(old.get(f) != result.get(f) for f in ("data", "immutable")):
        raise invalid(
            target.kind, target.name, "data", "field is immutable when `immutable` is set"
        )
    if old.get("spec") != result.get("spec") and "generation" in old["metadata"]:
        result["metadata"]["generation"] = old["metadata"]["generation"] + 1
    return result


def _kept_metadata(old: Object, new: Object) -> Object:
    metadata = dict(new["metadata"])
    system = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
    for field in (*system, "generation", "resourceVersion", "name", "namespace", "generateName"):
        metadata.pop(field, None)
        if field in old["metadata"]:
            metadata[field] = old["metadata"][field]
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if not metadata.get(field):
            metadata.pop(field, None)
    return {field: metadata[field] for field in old["metadata"] if field in metadata} | metadata


def _with_status_of(old: Object, new: Object) -> Object:
    without = {key: value for key, value in new.items() if key != "status"}
    return without | ({"status": old["status"]} if "status" in old else {})


def _without_empty_status(obj: Object) -> Object:
    return obj if obj.get("status") else {k: v for k, v in obj.items() if k != "status"}


def _check_pod(subresource: str, old: Object, new: Object) -> None:
    name = new["metadata"]["name"]
    before, after = deepcopy(old["spec"]), deepcopy(new.get("spec") or {})
    if subresource == "ephemeralcontainers":
        count = len(before.pop("ephemeralContainers", []))
        if before != after and len(after.pop("ephemeralContainers", [])) < count:
            raise _pod_update_refused(name)
    elif subresource == "resize":
        _drop(("resources",), before, after)
    else:
        _check_gates(name, before, after)
        mutable = _POD_MUTABLE
        if before.get("schedulingGates"):
            mutable |= _POD_MUTABLE_WHILE_GATED
        _drop(("image",), before, after)
        for field in mutable:
            before.pop(field, None)
            after.pop(field, None)
    if before != after:
        raise _pod_update_refused(name)


def _check_gates(name: str, before: Object, after: Object) -> None:
    gates = [gate["name"] for gate in before.get("schedulingGates") or ()]
    new_gates = [gate["name"] for gate in after.get("schedulingGates") or ()]
    if any(gate not in gates for gate in new_gates):
        message = "Forbidden: only deletion is allowed, but found new scheduling gate"
        raise invalid("Pod", name, "spec.schedulingGates", message)
    kept = [item | {"tolerationSeconds": None} for item in after.get("tolerations") or ()]
    if any(
        item | {"tolerationSeconds": None} not in kept for item in before.get("tolerations") or ()
    ):
        message = "Forbidden: existing toleration can not be modified except its tolerationSeconds"
        raise invalid("Pod", name, "spec.tolerations", message)


def _drop(fields: Iterable[str], *specs: Object) -> None:
    for spec in specs:
        containers: list[Any] = [*spec.get("containers", []), *spec.get("initContainers", [])]
        for container in containers:
            for field in fields:
                container.pop(field, None)


def _pod_update_refused(name: str) -> StatusError:
    why = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,..."
    return invalid("Pod", name, "spec", why)


def _check_service(old: Object, new: Object) -> None:
    before, after = (obj.get("spec", {}).get("clusterIP", "") for obj in (old, new))
    external = new.get("spec", {}).get("type") == "ExternalName"
    if before and before != after and not external:
        name = new["metadata"]["name"]
        raise invalid("Service", name, "spec.clusterIPs[0]", "may not change once set")
