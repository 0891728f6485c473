"""What a pod mounts that only its own cluster can give: tokens; trust bundles and certificates beside them.

Each of the three is kept in a super Secret of the pod's own and renewed in time. A token is issued by the
tenant's API server and bound to the tenant's pod, so it dies with it; the super cluster's own token is
never mounted. Nothing here logs a token.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias

import msgspec

from kube.client import Patch
from kube.errors import AlreadyExists, Conflict, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import PODS, SECRETS, SERVICE_ACCOUNTS
from syncer.entries import renewal_time
from syncer.kinds.pod import TokenRequest, token_requests
from syncer.kinds.pod_certificates import certificate_projections, certificate_secret_name
from syncer.kinds.pod_volumes import own_secret_names, token_secret_name
from syncer.kinds.trust_bundles import trust_requests, trust_secret_name
from syncer.reconcilers import certificates, trust_bundles
from syncer.super_state import TOKEN_COMPONENT, SuperState
from syncer.tenant_state import TenantState
from vcluster import api

Obtained: TypeAlias = tuple[Mapping[str, str | None], datetime]
"""The data of a Secret (None: without this key), and when to renew it."""
Obtain: TypeAlias = Callable[[], Awaitable[Obtained]]

RENEW_AT = 0.8
"""The part of a token's life after which it is replaced, as the kubelet does."""


class _TokenStatus(msgspec.Struct, rename="camel"):
    token: str
    expiration_timestamp: str


class _TokenAnswer(msgspec.Struct):
    status: _TokenStatus


async def issue(state: TenantState, pod: Object, wanted: list[TokenRequest]) -> Obtained:
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


def secret(state: TenantState, pod: Object, name: str, obtained: Obtained) -> Object:
    """A super Secret of a pod's."""
    tenant, metadata = state.tenant, pod["metadata"]
    data, renew = obtained
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": api.super_namespace(tenant.key, metadata["namespace"]),
            "labels": {
                api.TENANT_LABEL: tenant.key,
                api.BUCKET_LABEL: tenant.bucket,
                api.COMPONENT_LABEL: TOKEN_COMPONENT,
            },
            "annotations": {
                api.NAMESPACE_ANNOTATION: metadata["namespace"],
                api.NAME_ANNOTATION: metadata["name"],
                api.UID_ANNOTATION: metadata["uid"],
                api.EXPIRES_ANNOTATION: renew.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        },
        "type": "Opaque",
        "data": {key: value for key, value in data.items() if value is not None},
    }


async def _nothing_yet() -> Obtained:
    """Certificates are issued in their own time: their Secret is due for a look as soon as it is there."""
    return {}, datetime.now(UTC)


def _parts(state: TenantState, pod: Object) -> Mapping[str, Obtain]:
    """The super Secrets that the pod's volumes name, and how to obtain what is in them."""
    uid = pod["metadata"]["uid"]
    found: dict[str, Obtain] = {}
    if tokens := token_requests(pod):
        found[token_secret_name(uid)] = partial(issue, state, pod, tokens)
    if bundles := trust_requests(pod):
        found[trust_secret_name(uid)] = partial(trust_bundles.gather, state, bundles)
    if certificate_projections(pod):
        found[certificate_secret_name(uid)] = _nothing_yet
    return found


def plan(state: TenantState, pod: Object) -> None:
    """Remember what the pod needs until it is bound: only then do its tokens name its node."""
    metadata, spec = pod["metadata"], pod["spec"]
    key = ObjectKey(metadata["namespace"], metadata["name"])
    if not _parts(state, pod):
        state.unissued.pop(key, None)
        return
    state.unissued[key] = {
        "metadata": {field: metadata[field] for field in ("namespace", "name", "uid")},
        "spec": {
            "serviceAccountName": spec.get("serviceAccountName", "default"),
            "volumes": [item for item in spec["volumes"] if "projected" in item],
        },
    }


async def provide_planned(
    super_state: SuperState, state: TenantState, key: ObjectKey, uid: str
) -> None:
    """The pod is bound: make what was planned, before its node asks for it."""
    pod = state.unissued.get(key)
    if pod is not None and pod["metadata"]["uid"] == uid:
        await provide(super_state, state, pod)
        if state.unissued.get(key) is pod:
            del state.unissued[key]
        live = state.pods.get(key)
        if live is None or live.uid != uid:  # it went meanwhile, and nobody knew of these Secrets
            await remove_of_pod(super_state, state, key.namespace, uid)


async def provide(super_state: SuperState, state: TenantState, pod: Object) -> None:
    """Make the super Secrets that the pod's volumes name, if they are not there."""
    namespace = api.super_namespace(state.tenant.key, pod["metadata"]["namespace"])
    secrets = super_state.mirrors[SECRETS.plural]
    for name, obtain in _parts(state, pod).items():
        key = ObjectKey(namespace, name)
        if key not in state.renewals or secrets.get(key) is None:
            await _make(super_state, state, key, secret(state, pod, name, await obtain()))


async def _make(super_state: SuperState, state: TenantState, key: ObjectKey, made: Object) -> None:
    secrets = super_state.mirrors[SECRETS.plural]
    renew = renewal_time(made["metadata"]["annotations"][api.EXPIRES_ANNOTATION])
    try:
        answer = await super_state.client.create(SECRETS, key, encode(made))
    except AlreadyExists:
        # Made before, and the answer was lost: nobody has planned its renewal.
        answer = await super_state.client.get(SECRETS, key)
        renew = renewal_time(secrets.read(answer).digest)
    secrets.put(answer)
    state.renewals.plan(key, renew)


async def renew(super_state: SuperState, state: TenantState, key: ObjectKey) -> float | None:
    """Put what is fresh into a super Secret; when the next renewal is due, in epoch seconds.

    None: the pod has gone, and the Secret with it.
    """
    entry = super_state.mirrors[SECRETS.plural].get(key)
    if entry is None or entry.tenant != state.tenant.key:
        state.renewals.issuing.pop(key, None)
        return None
    try:
        pod = decode_object(await state.client.get(PODS, entry.source))
    except NotFound:
        pod = None
    if pod is None or pod["metadata"]["uid"] != entry.source_uid:
        await remove(super_state, entry.uid, key)
        state.renewals.issuing.pop(key, None)
        return None
    if key.name == certificate_secret_name(entry.source_uid):
        return await certificates.advance(super_state, state, key, entry.uid, pod)
    data, due = await _parts(state, pod)[key.name]()
    metadata: Object = {"uid": entry.uid}
    if key.name == token_secret_name(entry.source_uid):
        # Trust bundles seldom change: without a new mark the patch is none, and costs no write.
        metadata["annotations"] = {api.EXPIRES_ANNOTATION: due.strftime("%Y-%m-%dT%H:%M:%SZ")}
    patch = {"metadata": metadata, "data": data}
    await super_state.client.patch(SECRETS, key, Patch.MERGE, encode(patch))
    return due.timestamp()


async def remove_of_pod(
    super_state: SuperState, state: TenantState, namespace: str, pod_uid: str
) -> None:
    """The pod has gone on both sides: its tokens go too."""
    for name in own_secret_names(pod_uid):
        key = ObjectKey(api.super_namespace(state.tenant.key, namespace), name)
        entry = super_state.mirrors[SECRETS.plural].get(key)
        if entry is not None and entry.source_uid == pod_uid and not entry.deleting:
            await remove(super_state, entry.uid, key)
        state.renewals.forget(key)


async def remove(super_state: SuperState, uid: str, key: ObjectKey) -> None:
    """Delete a token Secret; it may be gone already."""
    try:
        await super_state.client.delete(SECRETS, key, uid=uid)
    except (NotFound, Conflict):
        pass
