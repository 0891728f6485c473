"""What a tenant's API server refuses when the tenant's share of the datastore is full. Pure.

ValidatingAdmissionPolicies from files (Kubernetes' manifest-based admission control): nobody in the
tenant can see, change or go around them; the API server reads the files again when they change and
does not start without them. The policies stand from the first start; a binding switches them on.
"""

from typing import Any

import msgspec

from kube.quantities import NANOS, nanos
from vcluster import api
from vcluster.api import Object
from vcluster.datastore.limits import SHUT_PERCENT, Level, Limits
from vcluster.datastore.shares import Reading

CONFIGURATION_FILE = "admission.json"
DIRECTORY = "admission"
POLICIES_FILE = f"{DIRECTORY}/full-datastore.json"
SWITCH_FILE = f"{DIRECTORY}/switch.json"

_GROUP = "admissionregistration.k8s.io/v1"
_NAMES = {
    Level.FULL: "virtualcluster-datastore-full.static.k8s.io",
    Level.SHUT: "virtualcluster-datastore-shut.static.k8s.io",
}
"""The API server wants this ending, and lets nobody else use it."""

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
    """The file with both policies, without effect until one is switched on."""
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
    ]
    return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": items})


def switch(level: Level) -> bytes:
    """The file that makes the level hold; empty where all is allowed."""
    if level is Level.OPEN:
        return b""
    name = _NAMES[level]
    binding = {
        "apiVersion": _GROUP,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return msgspec.json.encode(binding)


def limits_of(effective: Object) -> Limits:
    """Of ``status.effective``, which may be of an earlier version."""
    stated: dict[str, Any] = effective.get("quota", {}).get("datastore", {})
    size = stated.get("size", api.DATASTORE_SIZE)
    return Limits(int(stated.get("objects", api.DATASTORE_OBJECTS)), nanos(size) // NANOS)


def used(reading: Reading) -> Object:
    """For the status: rounded, since it is written whenever it differs."""
    tenths = round(reading.size * 10 / 2**20)
    return {"objects": reading.objects, "size": f"{tenths / 10:g}Mi"}


def told(reading: Reading, limits: Limits) -> tuple[str, str]:
    """Reason and message of the condition DatastoreHasRoom."""
    if reading.level is Level.OPEN:
        return "Room", "The tenant's share of the datastore has room"
    stands = (
        f"{reading.objects} of {limits.objects} objects, {reading.size / 2**20:.1f} of"
        f" {limits.size >> 20} MiB"
    )
    refused = "new objects are" if reading.level is Level.FULL else "whatever would grow is"
    return reading.level.name.capitalize(), f"{stands}: {refused} refused until some are deleted"


def _policy(
    level: Level, operations: list[str], resources: str, expression: str, message: str
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
        "metadata": {"name": _NAMES[level]},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"matchPolicy": "Exact", "resourceRules": [rule]},
            "validations": [{"expression": expression, "message": message, "reason": "Forbidden"}],
        },
    }


def _any_of(*expressions: str) -> str:
    return " || ".join(f"({expression})" for expression in expressions)
