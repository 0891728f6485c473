"""The tokens of a pod: issued by the tenant's API server, kept in one super Secret, renewed in time.

The token is bound to the tenant's pod, so it dies with it; the super cluster's own token is never
mounted. Nothing here logs a token.
"""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import msgspec

from kube.client import Patch
from kube.errors import AlreadyExists, Conflict, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import PODS, SECRETS, SERVICE_ACCOUNTS
from syncer.entries import renewal_time
from syncer.kinds.pod import TokenRequest, token_requests
from syncer.kinds.pod_volumes import token_secret_name
from syncer.super_state import TOKEN_COMPONENT, SuperState
from syncer.tenant_state import TenantState
from vcluster import api

RENEW_AT = 0.8
"""The part of a token's life after which it is replaced, as the kubelet does."""


class _TokenStatus(msgspec.Struct, rename="camel"):
    token: str
    expiration_timestamp: str


class _TokenAnswer(msgspec.Struct):
    status: _TokenStatus


async def issue(
    state: TenantState, pod: Object, wanted: list[TokenRequest]
) -> tuple[dict[str, str], datetime]:
    """The Secret's data, and when to renew it. Raises ApiError, for example without the account."""
    metadata = pod["metadata"]
    account = ObjectKey(metadata["namespace"], pod["spec"].get("serviceAccountName", "default"))
    bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
    now, renew, data = datetime.now(UTC), datetime.max.replace(tzinfo=UTC), {}
    for index, asked in enumerate(wanted):
        spec: Object = {"expirationSeconds": asked.seconds, "boundObjectRef": bound}
        if asked.audience:
            spec["audiences"] = [asked.audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await state.client.create(SERVICE_ACCOUNTS, account, encode(body), "token")
        status = msgspec.json.decode(answer, type=_TokenAnswer).status
        data[f"token-{index}"] = b64encode(status.token.encode()).decode()
        # The API server may extend a token's life; what was asked for is what is renewed by.
        granted = (datetime.fromisoformat(status.expiration_timestamp) - now).total_seconds()
        renew = min(renew, now + timedelta(seconds=min(granted, asked.seconds) * RENEW_AT))
    return data, renew


def secret(
    state: TenantState,
    pod_name: str,
    namespace: str,
    uid: str,
    data: dict[str, str],
    renew: datetime,
) -> Object:
    """The super Secret of a pod's tokens."""
    tenant = state.tenant
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": token_secret_name(uid),
            "namespace": api.super_namespace(tenant.key, namespace),
            "labels": {
                api.TENANT_LABEL: tenant.key,
                api.BUCKET_LABEL: tenant.bucket,
                api.COMPONENT_LABEL: TOKEN_COMPONENT,
            },
            "annotations": {
                api.NAMESPACE_ANNOTATION: namespace,
                api.NAME_ANNOTATION: pod_name,
                api.UID_ANNOTATION: uid,
                api.EXPIRES_ANNOTATION: renew.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        },
        "type": "Opaque",
        "data": data,
    }


async def provide(super_state: SuperState, state: TenantState, pod: Object) -> None:
    """Make the super Secret that the pod's volumes name, if they name one and it is not there."""
    wanted = token_requests(pod)
    metadata = pod["metadata"]
    key = _secret_key(state, metadata["namespace"], metadata["uid"])
    secrets = super_state.mirrors[SECRETS.plural]
    if not wanted or (key in state.renewals and secrets.get(key) is not None):
        return
    data, renew = await issue(state, pod, wanted)
    made = secret(state, metadata["name"], metadata["namespace"], metadata["uid"], data, renew)
    try:
        answer = await super_state.client.create(SECRETS, key, encode(made))
    except AlreadyExists:
        # Made before, and the answer was lost: nobody has planned its renewal.
        answer = await super_state.client.get(SECRETS, key)
        renew = datetime.fromtimestamp(renewal_time(secrets.read(answer).digest), UTC)
    secrets.put(answer)
    state.renewals[key] = renew.timestamp()


async def renew(super_state: SuperState, state: TenantState, key: ObjectKey) -> float | None:
    """Put fresh tokens into a super Secret; when the next renewal is due, in epoch seconds.

    None: the pod has gone, and the Secret with it.
    """
    entry = super_state.mirrors[SECRETS.plural].get(key)
    if entry is None or entry.tenant != state.tenant.key:
        return None
    try:
        pod = decode_object(await state.client.get(PODS, entry.source))
    except NotFound:
        pod = None
    if pod is None or pod["metadata"]["uid"] != entry.source_uid:
        await remove(super_state, entry.uid, key)
        return None
    data, due = await issue(state, pod, token_requests(pod))
    annotations = {api.EXPIRES_ANNOTATION: due.strftime("%Y-%m-%dT%H:%M:%SZ")}
    patch = {"metadata": {"uid": entry.uid, "annotations": annotations}, "data": data}
    await super_state.client.patch(SECRETS, key, Patch.MERGE, encode(patch))
    return due.timestamp()


async def remove_of_pod(
    super_state: SuperState, state: TenantState, namespace: str, pod_uid: str
) -> None:
    """The pod has gone on both sides: its tokens go too."""
    key = _secret_key(state, namespace, pod_uid)
    entry = super_state.mirrors[SECRETS.plural].get(key)
    if entry is not None and entry.source_uid == pod_uid and not entry.deleting:
        await remove(super_state, entry.uid, key)
    state.renewals.pop(key, None)


def _secret_key(state: TenantState, namespace: str, pod_uid: str) -> ObjectKey:
    return ObjectKey(api.super_namespace(state.tenant.key, namespace), token_secret_name(pod_uid))


async def remove(super_state: SuperState, uid: str, key: ObjectKey) -> None:
    """Delete a token Secret; it may be gone already."""
    try:
        await super_state.client.delete(SECRETS, key, uid=uid)
    except (NotFound, Conflict):
        pass
