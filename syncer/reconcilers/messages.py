"""What a tenant is told about an object of its own: an Event, once for each thing to say."""

from datetime import UTC, datetime
from hashlib import blake2b

from kube.errors import AlreadyExists, ApiError
from kube.objects import ObjectKey, encode
from kube.resources import EVENTS, Resource
from syncer.tenant_state import TenantState
from vcluster.api import super_namespace

COMPONENT = "virtualcluster"


async def tell(
    state: TenantState, resource: Resource, key: ObjectKey, uid: str, reason: str, message: str
) -> None:
    """Write a Warning on the tenant's object. The same message is not repeated.

    Names of super namespaces become the tenant's. A tenant that refuses the Event (its namespace is
    terminating, its quota is full) is not asked again.
    """
    if key.namespace:
        message = message.replace(super_namespace(state.tenant.key, key.namespace), key.namespace)
    message = message.replace(state.tenant.key, state.tenant.name)[:1000]
    if state.told.get((resource.plural, key)) == message:
        return
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    unique = blake2b(f"{uid}/{reason}/{message}".encode(), digest_size=8).hexdigest()
    namespace = key.namespace or "default"
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name[:200]}.{unique}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await state.client.create(EVENTS, ObjectKey(namespace, key.name), encode(event))
    except AlreadyExists:
        pass  # told before we were restarted
    except ApiError as error:
        if error.status not in (403, 404, 422):
            raise
    state.told[resource.plural, key] = message
