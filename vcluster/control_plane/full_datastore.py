"""What a tenant's API server refuses when its share of the datastore, or of its history, is full. Pure.

ValidatingAdmissionPolicies from files (Kubernetes' manifest-based admission control): nobody in the
tenant can see, change or go around them; the API server reads the files again when they change and
does not start without them. The policies stand from the first start; bindings switch them on.
"""

from typing import Any

import msgspec

from kube.quantities import NANOS, nanos
from vcluster import api
from vcluster.api import Object
from vcluster.datastore.limits import (
    SHUT_PERCENT,
    STAGE_PERCENT,
    Level,
    Limits,
    Stage,
    Standing,
)
from vcluster.datastore.shares import Reading

CONFIGURATION_FILE = "admission.json"
DIRECTORY = "admission"
POLICIES_FILE = f"{DIRECTORY}/full-datastore.json"
SWITCH_FILE = f"{DIRECTORY}/switch.json"

_GROUP = "admissionregistration.k8s.io/v1"
_ENDING = ".static.k8s.io"
"""The API server wants it, and lets nobody else use it."""
_LARGEST = {Stage.SLOWED: 8192, Stage.HELD: 1024}
"""Bytes of text of an object that may still be written."""

PROVIDER_USERS = ("system:apiserver", "virtualcluster:operator", api.SYNCER_USER)
"""What keeps the control plane and running pods going. A tenant can impersonate them, which is why the
second level exempts nobody."""

_OWN_PROGRAMS = (
    f"request.userInfo.username in {list(PROVIDER_USERS)} && request.resource.resource != 'events'"
)
# Of these nothing is stored, or a field of a pod once.
_STORES_NOTHING = (
    "request.operation == 'CREATE' && has(request.subResource)"
    " && request.subResource in ['binding', 'eviction', 'token']"
)
# The update that takes the last finalizer away is the one that removes the object.
_ENDS = (
    "request.operation == 'UPDATE' && has(object.metadata.deletionTimestamp)"
    " && object.metadata.?deletionGracePeriodSeconds.orValue(0) == 0"
    " && size(object.metadata.?finalizers.orValue([])) == 0"
    " && (request.resource.resource != 'namespaces'"
    " || size(object.?spec.?finalizers.orValue([])) == 0)"
)
# Written while these are being deleted, and needed for that; bounded, since they could be held there.
_LAST_STATUS = (
    "request.operation == 'UPDATE' && has(request.subResource) && request.subResource == 'status'"
    " && request.resource.resource in ['pods', 'customresourcedefinitions']"
    " && has(oldObject.metadata.deletionTimestamp)"
    " && size(bytes('%s'.format([object.?status.orValue({})]))) <= 8192"
)
_NO_LARGER = (
    "request.operation == 'UPDATE'"
    " && size(bytes('%s'.format([object]))) <= size(bytes('%s'.format([oldObject])))"
)
# What is done to an object once, and what ends it. Else a deletion may be asked for again and again, with
# another grace period or propagation, and each time the whole object is written.
_TOKEN = (
    "request.operation == 'CREATE' && has(request.subResource) && request.subResource == 'token'"
)
_FIRST_DELETION = "request.operation == 'DELETE' && !has(oldObject.metadata.deletionTimestamp)"
_LAST_DELETION = (
    "request.operation == 'DELETE' && size(oldObject.metadata.?finalizers.orValue([])) == 0"
    " && request.options.?gracePeriodSeconds.orValue(-1) == 0"
)


def configuration(directory: str) -> bytes:
    """What tells the API server where the policies are."""
    policies = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyConfiguration",
        "staticManifestsDir": directory,
    }
    return msgspec.json.encode(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": [{"name": "ValidatingAdmissionPolicy", "configuration": policies}],
        }
    )


def policies(limits: Limits) -> bytes:
    """The file with all policies, without effect until some are switched on."""
    share = f"{limits.objects} objects or {limits.size >> 20} MiB of the datastore"
    full = (
        f"this cluster has filled its share of {share}: no new objects until something is deleted"
    )
    shut = (
        f"this cluster is beyond its share of {share} by {SHUT_PERCENT - 100} %:"
        " nothing may grow until something is deleted"
    )
    allowed = (_STORES_NOTHING, _ENDS, _LAST_STATUS, _NO_LARGER)
    items = [
        _policy(Level.FULL, ["CREATE"], "*", _OWN_PROGRAMS, full),
        _policy(Level.SHUT, ["CREATE", "UPDATE"], "*/*", _any_of(*allowed), shut),
        *(_history_policy(stage, limits) for stage in STAGE_PERCENT),
    ]
    return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": items})


def switch(standing: Standing) -> bytes:
    """The file that makes level and stage hold; empty where all is allowed."""
    bindings = [
        {
            "apiVersion": _GROUP,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": _name(reached)},
            "spec": {"policyName": _name(reached), "validationActions": ["Deny"]},
        }
        for reached in standing
        if reached
    ]
    if not bindings:
        return b""
    return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": bindings})


def limits_of(effective: Object, window: float) -> Limits:
    """Of ``status.effective``, which may be of an earlier version; the window is in seconds."""
    stated: dict[str, Any] = effective.get("quota", {}).get("datastore", {})
    return Limits(
        objects=int(stated.get("objects", api.DATASTORE_OBJECTS)),
        size=nanos(stated.get("size", api.DATASTORE_SIZE)) // NANOS,
        history=nanos(stated.get("history", api.DATASTORE_HISTORY)) // NANOS,
        window=window,
    )


def used(reading: Reading) -> Object:
    """For the status: rounded, since it is written whenever it differs."""
    tenths = round(reading.size * 10 / 2**20)
    return {"objects": reading.objects, "size": f"{tenths / 10:g}Mi"}


def told(reading: Reading, limits: Limits) -> tuple[str, str]:
    """Reason and message of the condition DatastoreHasRoom; first what does not pass by itself.

    Of the history no figure that changes all the time: the status is written whenever it differs.
    """
    level, stage = reading.standing
    said = []
    if level:
        stands = (
            f"{reading.objects} of {limits.objects} objects, {reading.size / 2**20:.1f} of"
            f" {limits.size >> 20} MiB"
        )
        refused = "new objects are" if level is Level.FULL else "whatever would grow is"
        said.append(f"{stands}: {refused} refused until some are deleted")
    if stage:
        said.append(f"Written {_much(stage, limits)}: {_refused(stage)} until some of it is older")
    if not said:
        return "Room", "The tenant's share of the datastore has room"
    return (level or stage).name.capitalize(), "; ".join(said)


def _history_policy(stage: Stage, limits: Limits) -> Object:
    """Nobody is exempt: a tenant can impersonate anyone."""
    message = (
        f"this cluster has written {_much(stage, limits)}, and its share of the datastore's history is"
        f" {limits.history >> 20} MiB: {_refused(stage)}; wait until some of it is older"
    )
    if stage is Stage.STOPPED:
        allowed = _any_of(_TOKEN, _ENDS, _FIRST_DELETION, _LAST_DELETION)
        return _policy(stage, ["CREATE", "UPDATE", "DELETE"], "*/*", allowed, message)
    small = f"size(bytes('%s'.format([object]))) <= {_LARGEST[stage]}"
    allowed = _any_of(small, _STORES_NOTHING, _ENDS, _LAST_STATUS)
    return _policy(stage, ["CREATE", "UPDATE"], "*/*", allowed, message)


def _much(stage: Stage, limits: Limits) -> str:
    size = limits.history * STAGE_PERCENT[stage] / 100 / 2**20
    minutes = limits.window / 60
    window = f"{minutes:g} minutes" if minutes >= 1 else f"{limits.window:g} seconds"
    return f"more than {size:g} MiB within {window}"


def _refused(stage: Stage) -> str:
    if stage is Stage.STOPPED:
        return "everything but deletions is refused"
    return f"objects of more than {_LARGEST[stage] >> 10} KiB are refused"


def _name(reached: Level | Stage) -> str:
    return f"virtualcluster-datastore-{reached.name.lower()}{_ENDING}"


def _policy(
    reached: Level | Stage, operations: list[str], resources: str, expression: str, message: str
) -> Object:
    rule = {
        "apiGroups": ["*"],
        "apiVersions": ["*"],
        "operations": operations,
        "resources": [resources],
        "scope": "*",
    }
    return {
        "apiVersion": _GROUP,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": _name(reached)},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"matchPolicy": "Exact", "resourceRules": [rule]},
            "validations": [{"expression": expression, "message": message, "reason": "Forbidden"}],
        },
    }


def _any_of(*expressions: str) -> str:
    return " || ".join(f"({expression})" for expression in expressions)
