"""From the super cluster to the tenant: which reconciler a request belongs to; mirrors; events."""

from kube.client import Patch
from kube.errors import AlreadyExists, Forbidden, Invalid, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import EVENTS, NODES, PODS
from syncer.entries import TenantPod
from syncer.kinds import event
from syncer.kinds.mirror import DownwardKind, Refused, digest
from syncer.reconcilers.messages import tell
from syncer.reconcilers.pod_upward import PodUpward
from syncer.reconcilers.published import PublishedReconciler
from syncer.reconcilers.taint_eviction import TaintEviction
from syncer.runtime.workqueue import Request
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState


class UpwardReconciler:
    """Closes the gap for one object of one tenant, from whatever state both sides are in."""

    def __init__(self, super_state: SuperState) -> None:
        self._super = super_state
        self._published = PublishedReconciler(super_state)
        self._pods = PodUpward(super_state, self._published)
        self._evictions = TaintEviction(super_state)

    async def reconcile(self, request: Request) -> None:
        """Raises what may pass with time."""
        state = self._super.tenants.get(request.tenant)
        if state is None:
            return
        key = ObjectKey(request.namespace, request.name)
        if request.kind == PODS.plural:
            await self._pods.reconcile(state, key)
            await self._evictions.consider(state, key)
        elif request.kind == EVENTS.plural:
            await self._event(state, key)
        elif request.kind in self._super.upward:
            if request.kind == NODES.plural:
                state.heed_nodes()
            await self._published.reconcile(state, request.kind, request.name)
        else:
            await self._status(state, self._super.downward[request.kind], key)

    async def _status(self, state: TenantState, kind: DownwardKind, key: ObjectKey) -> None:
        """What the super cluster has decided about a mirror (node ports, load balancers, volumes)."""
        plural = kind.resource.plural
        source = state.sources[plural].get(key)
        mirror = self._super.mirrors[plural].get(state.mirror_key(plural, key))
        if source is None or mirror is None or mirror.source_uid != source.uid:
            return
        if kind.to_tenant is None:
            return
        shown = self._translated(state, kind, decode_object(mirror.raw))
        if shown is None:
            return  # what it names is on its way up, and brings us back
        obj = decode_object(source.raw)
        if kind.consumers is not None:
            shown = kind.consumers(shown, obj, _Pods(state, key.namespace))
        try:
            writes = kind.to_tenant(shown, obj, state.tenant)
        except Refused as refused:
            await tell(state, kind.resource, key, source.uid, refused.reason, str(refused))
            return
        for write in writes:
            patch = write.patch | {
                "metadata": write.patch.get("metadata", {}) | {"uid": source.uid}
            }
            try:
                answer = await state.client.patch(
                    kind.resource, key, Patch.MERGE, encode(patch), write.subresource
                )
            except NotFound:
                return
            except Invalid as error:
                # For example a node port that another service of the tenant still holds.
                await tell(state, kind.resource, key, source.uid, "FailedUpward", error.message)
                raise
            state.sources[plural].put(answer)

    def _translated(self, state: TenantState, kind: DownwardKind, mirror: Object) -> Object | None:
        """The mirror, naming what the tenant sees; None: the tenant does not see it yet."""
        target = kind.link.target(mirror) if kind.link else None
        if kind.link is None or target is None:
            return mirror
        plural, name = kind.link.resource.plural, target.key.name
        key = state.copy_key(plural, name)
        copy = state.copies[plural].get(key)
        if copy is None and self._super.published[plural].get(target.key) is not None:
            self._super.up.add(state.request(plural, target.key))
            return None
        return kind.link.replaced(mirror, key, copy.uid if copy else "")

    async def _event(self, state: TenantState, key: ObjectKey) -> None:
        super_key = ObjectKey(state.mirror_key(PODS.plural, key).namespace, key.name)
        raw = self._super.new_events.pop(super_key, b"")
        if not raw:
            try:
                raw = await self._super.client.get(EVENTS, super_key)
            except NotFound:
                return  # it has expired
        super_event = decode_object(raw)
        if not event.concerns_tenants(super_event):
            return
        uid = self._involved_uid(state, super_event["involvedObject"], key.namespace)
        if uid is None:
            return  # about something that is not the tenant's: token Secrets, for example
        handler = self._handler(state, super_event["involvedObject"], key.namespace)
        wanted = event.to_tenant(super_event, key.namespace, uid, state.tenant.key, handler)
        shown = digest(wanted)
        if state.mirrored_events.get(key) == shown:
            return
        try:
            await self._write_event(state, key, wanted)
        except (NotFound, Forbidden, Invalid):
            return  # the namespace is gone or going, or the tenant does not want it
        except BaseException:
            self._super.new_events.setdefault(super_key, raw)
            raise
        state.mirrored_events[key] = shown

    async def _write_event(
        self, state: TenantState, key: ObjectKey, wanted: dict[str, object]
    ) -> None:
        if key not in state.mirrored_events:
            try:
                await state.client.create(EVENTS, key, encode(wanted))
            except AlreadyExists:
                pass
            else:
                return
        patch = {name: value for name, value in wanted.items() if name != "metadata"}
        try:
            await state.client.patch(EVENTS, key, Patch.MERGE, encode(patch))
        except NotFound:
            await state.client.create(EVENTS, key, encode(wanted))

    def _handler(self, state: TenantState, involved: dict[str, str], namespace: str) -> str:
        """What the tenant calls the handler that the pod waits for; empty: it waits for none."""
        key = state.mirror_key(PODS.plural, ObjectKey(namespace, involved.get("name", "")))
        mirror = self._super.pods.get(key) if involved.get("kind") == "Pod" else None
        return mirror.handler if mirror is not None else ""

    def _involved_uid(
        self, state: TenantState, involved: dict[str, str], namespace: str
    ) -> str | None:
        key = ObjectKey(namespace, involved.get("name", ""))
        if involved.get("kind") == "Pod":
            mirror = self._super.pods.get(state.mirror_key(PODS.plural, key))
            if mirror is not None and mirror.uid == involved.get("uid"):
                return mirror.source_uid
            pod = state.pods.get(key)
            return pod.uid if pod else ""
        for plural, kind in self._super.downward.items():
            if kind.resource.kind == involved.get("kind"):
                source = state.sources[plural].get(key)
                return source.uid if source else None
        return None


class _Pods:
    """See kinds.mirror.Pods."""

    def __init__(self, state: TenantState, namespace: str) -> None:
        self._state = state
        self._namespace = namespace

    def shown(self, name: str, uid: str) -> str:
        """See kinds.mirror.Pods."""
        state, key = self._state, ObjectKey(self._namespace, name)
        mirror = state.super.pods.get(state.mirror_key(PODS.plural, key))
        if mirror is None or mirror.uid != uid or mirror.tenant != state.tenant.key:
            return ""
        return mirror.source_uid if self._living(name, mirror.source_uid) else ""

    def stays(self, name: str, uid: str) -> bool:
        """See kinds.mirror.Pods."""
        pod = self._living(name, uid)
        return pod is not None and not pod.deleting

    def is_bound(self, name: str, uid: str) -> bool:
        """See kinds.mirror.Pods."""
        pod = self._living(name, uid)
        return pod is not None and bool(pod.node)

    def _living(self, name: str, uid: str) -> TenantPod | None:
        pod = self._state.pods.get(ObjectKey(self._namespace, name))
        return pod if pod is not None and pod.uid == uid and not pod.finished else None
