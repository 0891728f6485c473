"""The certificates that a pod mounts: asked for in the tenant, kept in a super Secret, renewed in time.

Nothing waits for a signer: a request is made, and looked at again soon. Keys are in memory until their
certificate is there, and then in the pod's super Secret; they are in no log, Event or request.
"""

import math
import random
import time
from base64 import b64decode
from dataclasses import dataclass

import msgspec
import structlog

from kube.client import Patch
from kube.errors import ApiError, NotFound, Unreachable
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import NODES, POD_CERTIFICATE_REQUESTS, PODS, SECRETS, SERVICE_ACCOUNTS
from syncer.kinds.pod_certificates import (
    ISSUED,
    CertificateRequest,
    certificate_data,
    certificate_items,
    certificate_projections,
    certificate_request,
    decode_request,
    read_times,
    refusal,
    times_key,
    timestamp,
)
from syncer.private_keys import make_key
from syncer.reconcilers.messages import tell
from syncer.renewals import Asked, Issuing
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from vcluster import api

log = structlog.get_logger(__name__)

LOOK_SECONDS, LOOK_SHARE, SELDOM_SECONDS = 0.2, 0.25, 30.0
"""Between two looks at a request: a quarter of the time that it has waited, within these bounds. A kubelet
that cannot mount a volume doubles its pauses, so it hardly waits longer for that."""
RETRY_SECONDS = 5.0
"""After a failure of ours, or a request that somebody has deleted."""
JITTER_SECONDS = 300.0
"""Renewals come later by up to this, as the kubelet's do, so that not all are at once."""
SOONEST_SECONDS = 300.0
"""No API server lets a signer ask for less (10 minutes after a start that is 5 minutes ago)."""
OVERDUE_SECONDS = 600.0
"""Later than that a renewal is worth an Event."""


class _Uid(msgspec.Struct):
    uid: str


class _Account(msgspec.Struct):
    metadata: _Uid


@dataclass(frozen=True, slots=True)
class _Source:
    """One projected source of a pod, and how far its certificate is."""

    prefix: str
    wanted: Object
    pod: Object
    issuing: Issuing

    @property
    def pod_key(self) -> ObjectKey:
        metadata = self.pod["metadata"]
        return ObjectKey(metadata["namespace"], metadata["name"])


async def advance(
    super_state: SuperState, state: TenantState, key: ObjectKey, uid: str, pod: Object
) -> float:
    """Go on with each certificate of the super Secret ``key``; when to look again, in epoch seconds."""
    projections = certificate_projections(pod)
    known = state.renewals.issuing
    if key not in known:
        found = _issued(decode_object(await super_state.client.get(SECRETS, key)), projections)
        known.setdefault(key, found)
    issuing, due = known[key], math.inf
    secret = _Secret(super_state, key, uid, issuing)
    for prefix, wanted in projections.items():
        source = _Source(prefix, wanted, pod, issuing.setdefault(prefix, Issuing()))
        try:
            due = min(due, await _step(state, secret, source))
        except (ApiError, Unreachable, msgspec.MsgspecError, ValueError, OverflowError) as error:
            reason = str(error) if isinstance(error, ApiError | Unreachable) else "not understood"
            log.info("certificate not obtained", tenant=state.tenant.key, reason=reason)
            due = min(due, time.time() + RETRY_SECONDS)
    return due


def _issued(secret: Object, projections: dict[str, Object]) -> dict[str, Issuing]:
    """After a start: the certificates that are there stay until they are due."""
    data, found = secret.get("data") or {}, {prefix: Issuing() for prefix in projections}
    for prefix, wanted in projections.items():
        if all(name in data for name, _ in certificate_items(prefix, wanted)):
            try:
                times = b64decode(data.get(times_key(prefix), "")).decode()
                found[prefix].due, found[prefix].end = read_times(times)
            except ValueError:
                pass  # asked for anew
    return found


@dataclass(frozen=True, slots=True)
class _Secret:
    """The super Secret of a pod's certificates."""

    super_state: SuperState
    key: ObjectKey
    uid: str
    issuing: dict[str, Issuing]

    async def put(self, prefix: str, due: float, data: dict[str, str]) -> None:
        """Write one certificate, and when the first of all is due. What is not there is due at once."""
        others = [one.due for name, one in self.issuing.items() if name != prefix]
        mark = timestamp(min([due, *others]))
        metadata = {"uid": self.uid, "annotations": {api.EXPIRES_ANNOTATION: mark}}
        patch = encode({"metadata": metadata, "data": data})
        await self.super_state.client.patch(SECRETS, self.key, Patch.MERGE, patch)


async def _step(state: TenantState, secret: _Secret, source: _Source) -> float:
    issuing = source.issuing
    if issuing.refused:
        return math.inf
    if issuing.asked is not None:
        return await _look(state, secret, source, issuing.asked)
    if issuing.due > time.time():
        return issuing.due
    await _tell_late(state, source)
    return await _ask(state, source)


async def _ask(state: TenantState, source: _Source) -> float:
    """Make a request; its key stays here."""
    pod = source.pod
    node = state.copies[NODES.plural].get(ObjectKey("", pod["spec"].get("nodeName", "")))
    if node is None:
        return time.time() + RETRY_SECONDS  # on its way
    name = pod["spec"].get("serviceAccountName", "default")
    account_key = ObjectKey(source.pod_key.namespace, name)
    found = await state.client.get(SERVICE_ACCOUNTS, account_key)
    account = msgspec.json.decode(found, type=_Account).metadata
    key = await make_key(source.wanted.get("keyType", ""))
    request = certificate_request(
        pod, source.wanted, account_uid=account.uid, node_uid=node.uid, pkcs10=key.pkcs10
    )
    answer = await state.client.create(POD_CERTIFICATE_REQUESTS, source.pod_key, encode(request))
    source.issuing.asked = Asked(decode_request(answer).metadata.name, key, time.time())
    return time.time() + LOOK_SECONDS


async def _look(state: TenantState, secret: _Secret, source: _Source, asked: Asked) -> float:
    """What has become of a request."""
    namespace, issuing = source.pod_key.namespace, source.issuing
    try:
        answer = await state.client.get(POD_CERTIFICATE_REQUESTS, ObjectKey(namespace, asked.name))
    except NotFound:
        issuing.asked = None  # a controller deletes what is a quarter of an hour old
        return time.time() + RETRY_SECONDS
    request = decode_request(answer)
    verdict = request.verdict()
    if verdict is None:
        await _tell_late(state, source)
        waited = time.time() - asked.since
        return time.time() + min(max(LOOK_SECONDS, waited * LOOK_SHARE), SELDOM_SECONDS)
    if verdict.type == ISSUED:
        return await _put(secret, source, asked, request)
    await _tell(state, source, verdict.type, refusal(namespace, asked.name, verdict))
    issuing.refused, issuing.asked = True, None  # a certificate that is there stays
    return math.inf


async def _put(
    secret: _Secret, source: _Source, asked: Asked, request: CertificateRequest
) -> float:
    status, issuing = request.status, source.issuing
    if status.begin_refresh_at is None or status.not_after is None:
        raise ValueError("an issued certificate without its times")
    begin = status.begin_refresh_at.timestamp() + random.uniform(0, JITTER_SECONDS)
    due, end = max(begin, time.time() + SOONEST_SECONDS), status.not_after.timestamp()
    data = certificate_data(
        source.prefix, source.wanted, asked.key.pem, status.certificate_chain, (due, end)
    )
    await secret.put(source.prefix, due, data)
    issuing.due, issuing.end, issuing.asked = due, end, None
    issuing.overdue = issuing.ended = False
    return due


async def _tell_late(state: TenantState, source: _Source) -> None:
    """Of a certificate that should have been renewed long ago, in the kubelet's words."""
    issuing, now = source.issuing, time.time()
    if not issuing.due:
        return
    if now > issuing.due + OVERDUE_SECONDS and not issuing.overdue:
        message = "PodCertificate refresh overdue"
        await _tell(state, source, "CertificateOverdueForRefresh", message)
        issuing.overdue = True
    if now > issuing.end and not issuing.ended:
        await _tell(state, source, "CertificateExpired", "PodCertificate expired")
        issuing.ended = True


async def _tell(state: TenantState, source: _Source, reason: str, message: str) -> None:
    uid = source.pod["metadata"]["uid"]
    await tell(state, PODS, source.pod_key, uid, reason, message)
