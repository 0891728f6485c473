"""Which tenants there are: follows the VirtualCluster objects and their kubeconfig Secrets."""

import asyncio
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256

import msgspec
import structlog

from kube.client import Client, Patch
from kube.connection import Credentials, InvalidKubeconfig, load_kubeconfig
from kube.errors import ApiError, NotFound, Unreachable
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import SECRETS, Resource
from syncer.admission.figures import Figures
from syncer.entries import Entry, entry_decoder
from syncer.runtime.informer import Informer
from syncer.runtime.store import ObjectStore
from vcluster import api
from vcluster.api import Tenant

log = structlog.get_logger(__name__)

VIRTUAL_CLUSTERS = Resource(api.GROUP, api.VERSION, api.VIRTUAL_CLUSTER_PLURAL, "VirtualCluster")


class Tenants:
    """The tenants that have a control plane to mirror."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.changed = asyncio.Event()
        """Set when the answer of ``wanted`` or of ``credentials`` may be another one."""
        self._told: dict[str, tuple[int, str, str, Object | None]] = {}
        self.ready: dict[ObjectKey, tuple[str, str]] = {}
        """VirtualClusters that are ready, as the operator says: the tenant's key, and since when."""
        self._objects = ObjectStore[Entry](entry_decoder(keep_bytes=True), self._note_tenant)
        self._secrets = ObjectStore[Entry](entry_decoder(keep_bytes=False), self._note)
        self.informers = (
            Informer(client, VIRTUAL_CLUSTERS, self._objects),
            Informer(
                client,
                SECRETS,
                self._secrets,
                label_selector=f"{api.COMPONENT_LABEL}=kubeconfig",
                metadata_only=True,
            ),
        )

    def wanted(self) -> Iterator[tuple[Tenant, str]]:
        """Each tenant, and a mark that changes with its credentials."""
        for entry in self._objects.values():
            if entry.deleting:
                continue  # what goes away must not be made again
            try:
                tenant = Tenant.from_object(decode_object(entry.raw))
            except (KeyError, msgspec.ValidationError):
                continue  # the operator has not come that far
            secret = self._secrets.get(ObjectKey(tenant.key, api.SYNCER_KUBECONFIG_SECRET))
            if secret is not None:
                yield tenant, f"{secret.uid}/{secret.version}"

    async def credentials(self, tenant: Tenant) -> Credentials:
        """The syncer's credentials at the tenant. Raises InvalidKubeconfig, ApiError, Unreachable."""
        key = ObjectKey(tenant.key, api.SYNCER_KUBECONFIG_SECRET)
        secret = decode_object(await self._client.get(SECRETS, key))
        try:
            data = b64decode(secret["data"][api.KUBECONFIG_KEY])
        except KeyError as error:
            raise InvalidKubeconfig(f"Secret {key} has no key {api.KUBECONFIG_KEY!r}") from error
        return load_kubeconfig(data)

    async def report(
        self, tenant: Tenant, *, syncing: bool, reason: str, message: str, quota: Figures | None
    ) -> None:
        """Write the condition Syncing of the VirtualCluster and what is used of its quota.

        A failure is left to the next report.
        """
        key = ObjectKey(tenant.namespace, tenant.name)
        entry = self._objects.get(key)
        if entry is None or entry.uid != tenant.uid:
            self._told.pop(tenant.key, None)
            return
        used = quota._asdict() if quota else None
        told = entry.version, reason, message, used
        if self._told.get(tenant.key) == told:
            return
        status = decode_object(entry.raw).get("status", {})
        before = next(filter(_is_syncing, status.get("conditions") or ()), None)
        wanted = _condition(before, syncing=syncing, reason=reason, message=message)
        if wanted == before and status.get("quota") == used:
            self._told[tenant.key] = told
            return
        body = {
            "apiVersion": api.API_VERSION,
            "kind": "VirtualCluster",
            "metadata": {"name": tenant.name, "namespace": tenant.namespace, "uid": tenant.uid},
            "status": {"conditions": [wanted]} | ({"quota": used} if used else {}),
        }
        try:
            await self._client.patch(VIRTUAL_CLUSTERS, key, Patch.APPLY, encode(body), "status")
        except NotFound:
            pass
        except (ApiError, Unreachable) as error:
            log.info("condition not written", tenant=tenant.key, reason=str(error))

    def _note_tenant(
        self, key: ObjectKey, before: Entry | None, after: Entry | None, raw: bytes, own: bool
    ) -> None:
        self.ready.pop(key, None)
        if after is not None:
            status = decode_object(after.raw).get("status", {})
            for condition in filter(_is_ready, status.get("conditions") or ()):
                since = condition.get("lastTransitionTime", "")
                self.ready[key] = status.get("tenantKey", ""), since
        self.changed.set()

    def _note(
        self, key: ObjectKey, before: Entry | None, after: Entry | None, raw: bytes, own: bool
    ) -> None:
        self.changed.set()


def _is_syncing(condition: Object) -> bool:
    return bool(condition["type"] == api.Condition.SYNCING)


def _is_ready(condition: Object) -> bool:
    return bool(condition["type"] == api.Condition.READY and condition["status"] == "True")


def _condition(before: Object | None, *, syncing: bool, reason: str, message: str) -> Object:
    wanted = {
        "type": api.Condition.SYNCING.value,
        "status": "True" if syncing else "False",
        "reason": reason,
        "message": message,
    }
    same = before is not None and before["status"] == wanted["status"]
    since = before["lastTransitionTime"] if before and same else api.now()
    return wanted | {"lastTransitionTime": since}


def fingerprint(tenant: Tenant, credentials_mark: str) -> str:
    """Changes when the tenant's session has to start anew."""
    return sha256(msgspec.json.encode(tenant) + credentials_mark.encode()).hexdigest()
