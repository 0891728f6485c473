"""Which super pods are a tenant's, by their marks, and what the tenant calls them."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from kube.client import Client
from kube.errors import NotFound
from kube.objects import Metadata, ObjectKey, decode_head
from kube.resources import PODS
from vcluster import api
from vcluster.api import super_namespace


class SuperPod(NamedTuple):
    """A super pod, and the tenant's pod that it mirrors."""

    key: ObjectKey
    uid: str
    tenant: str
    """The tenant key."""
    source: ObjectKey
    source_uid: str
    service_account: str
    """The tenant's name of it."""


class Pods(Protocol):
    """Knows the super pods that may be asked for here."""

    async def find(self, tenant: str, namespace: str, name: str) -> SuperPod | None:
        """The mirror of a tenant's pod. Raises kube.errors' ApiError, Unreachable."""


def marked(metadata: Metadata) -> SuperPod | None:
    """The super pod, if its marks say whole and without contradiction whose it is."""
    marks = metadata.annotations
    tenant = metadata.labels.get(api.TENANT_LABEL, "")
    namespace = marks.get(api.NAMESPACE_ANNOTATION, "")
    source_uid = marks.get(api.UID_ANNOTATION, "")
    if not (tenant and namespace and source_uid):
        return None
    name = marks.get(api.NAME_ANNOTATION, "")
    if (super_namespace(tenant, namespace), name) != (metadata.namespace, metadata.name):
        return None
    return SuperPod(
        key=ObjectKey(metadata.namespace, metadata.name),
        uid=metadata.uid,
        tenant=tenant,
        source=ObjectKey(namespace, name),
        source_uid=source_uid,
        service_account=marks.get(api.SERVICE_ACCOUNT_ANNOTATION, "default"),
    )


def _of(pod: SuperPod | None, tenant: str, namespace: str, name: str) -> SuperPod | None:
    wanted = (tenant, ObjectKey(namespace, name))
    return pod if pod and (pod.tenant, pod.source) == wanted else None


class FollowedPods:
    """The pods of one node, kept in step by an informer. Its store."""

    def __init__(self) -> None:
        self._pods: dict[ObjectKey, SuperPod] = {}

    async def find(self, tenant: str, namespace: str, name: str) -> SuperPod | None:
        """See Pods. Never waits."""
        key = ObjectKey(super_namespace(tenant, namespace), name)
        return _of(self._pods.get(key), tenant, namespace, name)

    def of(self, tenant: str) -> dict[ObjectKey, SuperPod]:
        """The tenant's pods on the node, by the key of the super pod."""
        return {key: pod for key, pod in self._pods.items() if pod.tenant == tenant}

    def __iter__(self) -> Iterator[SuperPod]:
        return iter(list(self._pods.values()))

    def upsert(self, raw: bytes, *, listed: int) -> ObjectKey:
        """See syncer.runtime.informer.Store."""
        metadata = decode_head(raw).metadata
        key = ObjectKey(metadata.namespace, metadata.name)
        if pod := marked(metadata):
            self._pods[key] = pod
        else:
            self._pods.pop(key, None)
        return key

    def remove(self, raw: bytes) -> None:
        """See syncer.runtime.informer.Store."""
        metadata = decode_head(raw).metadata
        self._pods.pop(ObjectKey(metadata.namespace, metadata.name), None)

    def retain(self, keys: set[ObjectKey], resource_version: int) -> None:
        """See syncer.runtime.informer.Store."""
        self._pods = {key: pod for key, pod in self._pods.items() if key in keys}


class AskedPods:
    """Pods of any node, asked for one by one: where it would be a waste to follow them all."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, tenant: str, namespace: str, name: str) -> SuperPod | None:
        """See Pods."""
        key = ObjectKey(super_namespace(tenant, namespace), name)
        try:
            raw = await self._client.get(PODS, key, metadata_only=True)
        except NotFound:
            return None
        return _of(marked(decode_head(raw).metadata), tenant, namespace, name)
