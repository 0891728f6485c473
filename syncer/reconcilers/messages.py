"""What a tenant is told about an object of its own: an Event, once for each thing to say."""

from datetime import UTC, datetime
from hashlib import blake2b

from kube.client import Patch
from kube.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from kube.objects import Object, ObjectKey, encode
from kube.resources import EVENTS, PODS, Resource
from syncer import metrics
from syncer.tenant_state import TenantState
from vcluster import api
from vcluster.api import super_namespace

COMPONENT = "virtualcluster"


async def tell(
    state: TenantState,
    resource: Resource,
    key: ObjectKey,
    uid: str,
    reason: str,
    message: str,
    kind: str = "Warning",
) -> None:
    """Write an Event on the tenant's object. The same message about it is not repeated.

    Names of super namespaces become the tenant's. A tenant that refuses the Event (its namespace is
    terminating, its quota is full) is not asked again.
    """
    message = _in_tenants_words(state, key, message)
    said = f"{uid}: {message}"
    if state.told.get((resource.plural, key)) == said:
        return
    namespace = key.namespace or "default"
    event = _event(resource, key, uid, kind, reason, message)
    try:
        await state.client.create(EVENTS, ObjectKey(namespace, key.name), encode(event))
    except AlreadyExists:
        pass  # told before we were restarted
    except ApiError as error:
        if error.status not in (403, 404, 422):
            raise
    state.told[resource.plural, key] = said
    metrics.REFUSED.labels(reason).inc()


def _event(
    resource: Resource, key: ObjectKey, uid: str, kind: str, reason: str, message: str
) -> Object:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    unique = blake2b(f"{uid}/{reason}/{message}".encode(), digest_size=8).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{key.name[:200]}.{unique}",
            "namespace": key.namespace or "default",
        },
        "involvedObject": {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


async def refuse(
    state: TenantState, key: ObjectKey, pod: Object, reason: str, message: str
) -> None:
    """Tell the tenant that the pod may not run, by an Event and by the condition Refused."""
    await tell(state, PODS, key, pod["metadata"]["uid"], reason, message)
    condition = {
        "type": api.REFUSED_CONDITION,
        "status": "True",
        "reason": reason,
        "message": _in_tenants_words(state, key, message),
    }
    before = _refused_condition(pod)
    if any(before.get(field) != value for field, value in condition.items()):
        await _write_condition(state, key, pod, condition | {"lastTransitionTime": api.now()})


async def no_place(state: TenantState, key: ObjectKey, pod: Object, message: str) -> None:
    """Tell what keeps the pod from being placed, as a scheduler does: by an Event and by PodScheduled.

    Of a pod that has a node already a kubelet would say it.
    """
    if pod["spec"].get("nodeName"):
        await tell(state, PODS, key, pod["metadata"]["uid"], "FailedMount", message)
        return
    await tell(state, PODS, key, pod["metadata"]["uid"], "FailedScheduling", message)
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    conditions: list[Object] = pod.get("status", {}).get("conditions") or []
    before = next((item for item in conditions if item["type"] == "PodScheduled"), {})
    if any(before.get(field) != value for field, value in condition.items()):
        await _write_condition(state, key, pod, condition | {"lastTransitionTime": api.now()})


async def no_longer_refused(state: TenantState, key: ObjectKey, pod: Object) -> None:
    """Take back what ``refuse`` has said in the pod's status, if it has."""
    if _refused_condition(pod):
        gone = {"type": api.REFUSED_CONDITION, "$patch": "delete"}
        await _write_condition(state, key, pod, gone)
        state.told.pop((PODS.plural, key), None)


def _refused_condition(pod: Object) -> Object:
    conditions: list[Object] = pod.get("status", {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == api.REFUSED_CONDITION), {})


async def _write_condition(
    state: TenantState, key: ObjectKey, pod: Object, condition: Object
) -> None:
    body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": [condition]}}
    try:
        await state.client.patch(PODS, key, Patch.STRATEGIC, encode(body), "status")
    except (NotFound, Conflict, Invalid):
        pass  # gone, or another one of the same name


def _in_tenants_words(state: TenantState, key: ObjectKey, message: str) -> str:
    """The message without a name of the super cluster."""
    if key.namespace:
        message = message.replace(super_namespace(state.tenant.key, key.namespace), key.namespace)
    return message.replace(state.tenant.key, state.tenant.name)[:1000]
