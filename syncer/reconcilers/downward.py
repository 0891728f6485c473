"""From the tenant to the super cluster, generic over kinds: a kind adds only its translation."""

from collections.abc import Awaitable, Callable

import structlog

from kube.client import Patch
from kube.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound, ServerError
from kube.objects import Object, ObjectKey, decode_head, decode_object, encode
from kube.resources import NAMESPACES, NETWORK_POLICIES, Resource
from syncer.admission.ledger import Item
from syncer.entries import Entry
from syncer.kinds.mirror import DownwardKind, Recreate, Refused
from syncer.reconcilers import references
from syncer.reconcilers.isolation import Isolation
from syncer.reconcilers.messages import tell
from syncer.reconcilers.namespaces import prepare, require_namespace
from syncer.reconcilers.object_quota import OverQuota, within_quota
from syncer.runtime.workqueue import Request
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from syncer.usage import Waiting
from vcluster import api

log = structlog.get_logger(__name__)


class HostTaken(Refused):
    """Somebody else holds a host that the object asks for."""

    def __init__(self, host: str) -> None:
        message = f"{host!r} is in use already, be it by a wildcard; choose another host"
        super().__init__("spec.rules", "HostTaken", message)
        self.host = host


class DownwardReconciler:
    """Closes the gap for one object of one tenant, from whatever state both sides are in."""

    def __init__(
        self,
        super_state: SuperState,
        pods: Callable[[TenantState, ObjectKey], Awaitable[None]],
        isolation: Isolation,
    ) -> None:
        self._super = super_state
        self._pods = pods
        self._isolation = isolation

    async def reconcile(self, request: Request) -> None:
        """Raises what may pass with time; what the tenant must change is told to the tenant."""
        state = self._super.tenants.get(request.tenant)
        if state is None:
            return
        key = ObjectKey(request.namespace, request.name)
        kind = self._super.downward.get(request.kind)
        try:
            if kind is None:
                await self._pods(state, key)
            elif kind.resource is NAMESPACES:
                await self._namespace(state, kind, key)
            elif kind.resource is NETWORK_POLICIES:
                await prepare(self._super, state, self._isolation, key.namespace)
                await self._mirror(state, kind, key)
                await prepare(self._super, state, self._isolation, key.namespace)
            else:
                await self._mirror_or_withdraw(state, kind, key)
        except Waiting as waiting:
            state.usage.wait(waiting.kind, waiting.key, request)
        except OverQuota:
            state.usage.settle(request)
        else:
            state.usage.settle(request)

    async def _namespace(self, state: TenantState, kind: DownwardKind, key: ObjectKey) -> None:
        """Neither is kept from being done by what the other one fails for."""
        try:
            await self._mirror(state, kind, key)
        except Exception:
            await prepare(self._super, state, self._isolation, key.name)
            raise
        await prepare(self._super, state, self._isolation, key.name)

    async def _mirror_or_withdraw(
        self, state: TenantState, kind: DownwardKind, key: ObjectKey
    ) -> None:
        mirror_key = state.mirror_key(kind.resource.plural, key)
        if not kind.enabled(state.tenant):
            mirror = self._super.mirrors[kind.resource.plural].get(mirror_key)
            references.record(state, kind, key, None)
            if mirror is not None and state.is_mirror(mirror, key) and not kind.by_definition:
                await self._delete(kind.resource, mirror_key, mirror.uid)
            return
        references.record(state, kind, key, state.sources[kind.resource.plural].get(key))
        try:
            await self._mirror(state, kind, key)
        finally:
            if kind.hosts is not None:
                self._super.hosts.release(mirror_key)

    async def _mirror(self, state: TenantState, kind: DownwardKind, key: ObjectKey) -> None:
        plural = kind.resource.plural
        mirror_key = state.mirror_key(plural, key)
        mirror = self._super.mirrors[plural].get(mirror_key)
        source = state.sources[plural].get(key)
        if kind.on_demand and not state.usage.in_use(plural, key):
            await self._unused(state, kind, key, mirror)
            return
        wanted = None
        if source is not None:
            try:
                wanted = await self._wanted(state, kind, key, source, mirror)
                self._take_hosts(state, kind, key, mirror_key, wanted)
            except Refused as refused:
                await tell(state, kind.resource, key, source.uid, refused.reason, str(refused))
                lost = isinstance(refused, HostTaken) and self._super.hosts.holds(
                    mirror_key, refused.host
                )
                if lost or _of_predecessor(mirror, state, key, source):
                    await self._remove(state, kind.resource, key, mirror_key, mirror)
                return
        if wanted is None or source is None:
            await self._remove(state, kind.resource, key, mirror_key, mirror)
        elif mirror is None:
            async with within_quota(state, kind.resource, key, mirror_key, source, wanted):
                await self._create(state, kind, key, source, mirror_key, wanted)
                state.lost.discard(state.request(plural, key))
        elif not state.is_mirror(mirror, key):
            await self._foreign(state, kind.resource, key, source.uid, mirror_key)
        elif mirror.source_uid != source.uid:
            await self._replaced(state, kind.resource, key, mirror_key, mirror)
        else:
            try:
                async with within_quota(state, kind.resource, key, mirror_key, source, wanted):
                    await self._update(state, kind, mirror_key, mirror, wanted)
            except (Forbidden, Invalid) as error:
                await tell(state, kind.resource, key, source.uid, "FailedMirror", error.message)
                raise

    async def _wanted(
        self,
        state: TenantState,
        kind: DownwardKind,
        key: ObjectKey,
        source: Entry,
        mirror: Entry | None,
    ) -> Object | None:
        raw = source.raw
        if not raw or (mirror is None and state.request(kind.resource.plural, key) in state.lost):
            raw = await self._read(state, kind.resource, key)
        if not raw:
            return None
        wanted = decode_object(raw)
        if kind.admitted is not None and mirror is None:
            wanted = kind.admitted(wanted, self._super.offers)
        return kind.to_super(wanted, state.tenant)

    def _take_hosts(
        self,
        state: TenantState,
        kind: DownwardKind,
        key: ObjectKey,
        mirror_key: ObjectKey,
        wanted: Object | None,
    ) -> None:
        """Raises HostTaken; the object is asked for again when the host is free."""
        if kind.hosts is None or wanted is None:
            return
        request = state.request(kind.resource.plural, key)
        taken = self._super.hosts.taken(state.tenant.key, mirror_key, request, kind.hosts(wanted))
        if taken:
            raise HostTaken(taken)

    async def _read(self, state: TenantState, resource: Resource, key: ObjectKey) -> bytes:
        try:
            return await state.client.get(resource, key)
        except NotFound:
            return b""

    async def _create(
        self,
        state: TenantState,
        kind: DownwardKind,
        key: ObjectKey,
        source: Entry,
        mirror_key: ObjectKey,
        wanted: Object,
    ) -> None:
        resource = kind.resource
        if mirror_key.namespace:
            require_namespace(self._super, state, key.namespace)
        elif resource is NAMESPACES:
            state.accountless.add(key.name)
        try:
            answer = await self._send(
                kind,
                wanted,
                lambda obj: self._super.client.create(resource, mirror_key, encode(obj)),
            )
        except AlreadyExists:
            live = await self._super.client.get(resource, mirror_key)
            mirrors = self._super.mirrors[resource.plural]
            if state.is_mirror(mirrors.read(live), key):
                mirrors.put(live)
                self._super.down.add(state.request(resource.plural, key))
                return
            await self._foreign(state, resource, key, source.uid, mirror_key)
            return
        except (Forbidden, Invalid) as error:
            await tell(state, resource, key, source.uid, "FailedMirror", error.message)
            raise
        except NotFound:
            if kind.by_definition:
                message = f"objects of kind {resource.kind} are not served at present; tried again"
                await tell(state, resource, key, source.uid, "NotServed", message)
            raise
        self._super.mirrors[resource.plural].put(answer)

    async def _update(
        self,
        state: TenantState,
        kind: DownwardKind,
        mirror_key: ObjectKey,
        mirror: Entry,
        wanted: Object,
    ) -> None:
        resource = kind.resource
        digest = wanted["metadata"]["annotations"].get(api.DIGEST_ANNOTATION, "")
        if mirror.raw:
            live = decode_object(mirror.raw)
        elif mirror.digest == digest and mirror.written in (0, mirror.version):
            return
        else:
            live = decode_object(await self._super.client.get(resource, mirror_key))

        async def send(obj: Object) -> bytes:
            if (patch := kind.patch(live, obj)) is None:
                return b""
            # The UID makes the API server refuse to patch another object of the same name.
            patch = patch | {"metadata": patch.get("metadata", {}) | {"uid": mirror.uid}}
            return await self._super.client.patch(resource, mirror_key, Patch.MERGE, encode(patch))

        try:
            answer = await self._send(kind, wanted, send)
        except Recreate:
            await self._delete(resource, mirror_key, mirror.uid)
            return
        if answer:
            self._super.mirrors[resource.plural].put(answer)
        else:
            mirror.written = mirror.version

    async def _send(
        self, kind: DownwardKind, wanted: Object, send: Callable[[Object], Awaitable[bytes]]
    ) -> bytes:
        """Send the wanted object; without those of its wishes that cannot be granted."""
        try:
            return await send(wanted)
        except (Invalid, ServerError) as error:
            if kind.modest is None or (modest := kind.modest(wanted, error)) == wanted:
                raise
        return await self._send(kind, modest, send)

    async def _unused(
        self, state: TenantState, kind: DownwardKind, key: ObjectKey, mirror: Entry | None
    ) -> None:
        plural = kind.resource.plural
        if state.sources[plural].get(key) is None:
            state.told.pop((plural, key), None)
            state.deleted.pop(state.request(plural, key), None)
            state.lost.discard(state.request(plural, key))
        if mirror is None or not state.is_mirror(mirror, key):
            return
        if not references.all_known(state):
            # After a restart: not all that may use it has been looked at, so it may be in use after all.
            self._super.down.add_after(state.request(plural, key), 2.0)
        elif state.usage.was_left(plural, key) or not await references.look(state, plural, key):
            await self._delete(kind.resource, state.mirror_key(plural, key), mirror.uid)

    async def _remove(
        self,
        state: TenantState,
        resource: Resource,
        key: ObjectKey,
        mirror_key: ObjectKey,
        mirror: Entry | None,
    ) -> None:
        state.told.pop((resource.plural, key), None)
        if state.sources[resource.plural].get(key) is None:
            self._super.hosts.forget(state.request(resource.plural, key))
        request = state.request(resource.plural, key)
        state.lost.discard(request)
        deleted = state.deleted.pop(request, "")
        if mirror is None:
            self._super.admission.unclaim(request)
            self._super.admission.settle(state.tenant.key, Item(resource.plural, mirror_key))
        if mirror is None or not state.is_mirror(mirror, key) or mirror.deleting:
            return
        if deleted != mirror.source_uid and await self._still_there(state, resource, key, mirror):
            return
        await self._delete(resource, mirror_key, mirror.uid)

    async def _replaced(
        self,
        state: TenantState,
        resource: Resource,
        key: ObjectKey,
        mirror_key: ObjectKey,
        mirror: Entry,
    ) -> None:
        """The mirror is of another object of that name: of one before, or of one we do not know yet."""
        seen = state.deleted.get(state.request(resource.plural, key)) == mirror.source_uid
        if not seen and (raw := await self._read(state, resource, key)):
            state.sources[resource.plural].put(raw)
            if decode_head(raw).metadata.uid == mirror.source_uid:
                self._super.down.add(state.request(resource.plural, key))
                return
        await self._delete(resource, mirror_key, mirror.uid)  # its DELETED event brings us back

    async def _still_there(
        self, state: TenantState, resource: Resource, key: ObjectKey, mirror: Entry
    ) -> bool:
        """Nobody saw it being deleted: absence from a cache is no proof, so look."""
        raw = await self._read(state, resource, key)
        if not raw or decode_head(raw).metadata.uid != mirror.source_uid:
            return False
        if state.sources[resource.plural].get(key) is None:
            state.sources[resource.plural].put(raw)
            return True
        return False  # it is there, but its translation says that it does not go down

    async def _delete(self, resource: Resource, mirror_key: ObjectKey, uid: str) -> None:
        try:
            await self._super.client.delete(resource, mirror_key, uid=uid)
        except (NotFound, Conflict):
            pass  # gone, or another one already; its event brings us back

    async def _foreign(
        self,
        state: TenantState,
        resource: Resource,
        key: ObjectKey,
        uid: str,
        mirror_key: ObjectKey,
    ) -> None:
        """Law 1: what does not carry this tenant's mark is never adopted, changed or deleted."""
        log.warning("name is taken in the super cluster", kind=resource.plural, key=str(mirror_key))
        message = f"metadata.name: {key.name!r} is taken in the super cluster by an object that is not yours"
        await tell(state, resource, key, uid, "NameTaken", message)


def _of_predecessor(
    mirror: Entry | None, state: TenantState, key: ObjectKey, source: Entry
) -> bool:
    """It mirrors an object that was deleted before this one was created under its name."""
    if mirror is None or not state.is_mirror(mirror, key):
        return False
    return mirror.source_uid != source.uid
