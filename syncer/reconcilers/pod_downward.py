"""A tenant's pod, downward: create, the few updates that are possible, delete."""

from contextlib import nullcontext

import structlog

from kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound, ServerError
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import NODES, PODS
from syncer.admission.candidates import Candidate
from syncer.entries import SuperPod, TenantPod
from syncer.kinds.mirror import Refused
from syncer.kinds.node import is_silent
from syncer.kinds.pod import mutable_digest, to_super
from syncer.kinds.pod_claims import waits_for_claims
from syncer.kinds.pod_hosts import with_own_hosts
from syncer.kinds.pod_policy import admitted
from syncer.kinds.pod_volumes import references
from syncer.kinds.runtime_class import FIELD as RUNTIME_CLASS
from syncer.reconcilers import tokens
from syncer.reconcilers.messages import no_longer_refused, refuse, tell
from syncer.reconcilers.namespaces import require_prepared
from syncer.reconcilers.placed_above import awaits_another, begin_anew, is_elsewhere
from syncer.reconcilers.pod_admission import PodAdmission
from syncer.reconcilers.pod_changes import PodChanges
from syncer.reconcilers.pod_requirements import PodRequirements
from syncer.reconcilers.runtime_classes import class_of, know_class, tell_not_offered
from syncer.runtime.fair_transport import out_of_turn
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from syncer.usage import Waiting
from vcluster import api

log = structlog.get_logger(__name__)

MINIMUM_GRACE_SECONDS = 1
"""What every kubelet gives a pod at the least."""


class PodDownward:
    """Reconciles one pod; see docs/architecture.md for its life step by step."""

    def __init__(self, super_state: SuperState, hosts_image: str) -> None:
        self._super = super_state
        self._hosts_image = hosts_image
        self._requirements = PodRequirements(super_state)
        self._admission = PodAdmission(super_state)
        self._changes = PodChanges(super_state, self._admission)

    async def reconcile(self, state: TenantState, key: ObjectKey) -> None:
        """Bring the super pod to what the tenant's pod says."""
        mirror_key = state.mirror_key(PODS.plural, key)
        mirror = self._super.pods.get(mirror_key)
        source = state.pods.get(key)
        if mirror is not None and mirror.tenant != state.tenant.key:
            mirror = None  # law 1; creating will be answered by AlreadyExists and told
        if source is None:
            await self._source_gone(state, key, mirror_key, mirror)
        elif mirror is not None and mirror.source_uid != source.uid:
            await self._replaced(state, key, mirror_key, mirror)
        elif source.deleting:
            await self._terminate(state, key, mirror_key, source, mirror)
        elif mirror is not None:
            await self._update(state, key, mirror_key, source, mirror)
        elif not awaits_another(state, key, source) and (
            source.scheduled or source.finished or state.rejection_of(key, source.uid)
        ):
            # It has run: it is never made anew behind its owner's back. The upward side ends it.
            self._super.up.add(state.request(PODS.plural, key))
        else:
            await self._create(state, key, mirror_key, source)

    async def _read(self, state: TenantState, key: ObjectKey, uid: str) -> Object | None:
        """The tenant's pod: the bytes that came with its event, else read again."""
        raw = state.newest.pop(key, b"")
        if not raw:
            try:
                raw = await state.client.get(PODS, key)
            except NotFound:
                return None
        pod = decode_object(raw)
        return pod if pod["metadata"]["uid"] == uid else None

    async def _create(
        self, state: TenantState, key: ObjectKey, mirror_key: ObjectKey, source: TenantPod
    ) -> None:
        pod = await self._read(state, key, source.uid)
        if pod is None:
            return
        await self._forget_predecessor(state, key, source.uid)
        if waits_for_claims(pod, state.tenant):
            state.usage.record(key, ())
            return  # its status will say what they are called, and brings us back
        await know_class(state, pod)
        try:
            wanted = admitted(self._translated(state, key, pod), state.tenant)
            candidate = await self._admission.candidate(state, key, mirror_key, pod, wanted)
        except Refused as refused:
            state.leave_room(key)
            state.usage.record(key, ())
            if refused.field == RUNTIME_CLASS:
                state.unclassed.add(key)  # looked at again when the tenant's classes change, too
            # Looked at again when it, the tenant's policy or what is offered changes.
            await refuse(state, key, pod, refused.reason, str(refused))
            return
        state.unclassed.discard(key)
        state.usage.record(key, references(pod))
        wanted = with_own_hosts(wanted, key.namespace, self._hosts_image)
        await self._send(state, key, mirror_key, source, pod, wanted, candidate)
        if short := state.own_nodes.lacks(key):
            # The scheduler only knows of nodes that the pod names, and says that none of them is there.
            await tell(state, PODS, key, source.uid, "InsufficientResource", short)

    def _translated(self, state: TenantState, key: ObjectKey, pod: Object) -> Object:
        """The super pod that is wanted while the pod is not bound. Raises Refused."""
        handler = state.runtime_handler(class_of(pod))
        wanted = to_super(pod, state.tenant, self._super.offers, handler)
        if not state.own_nodes.concern(pod):
            return wanted
        state.choosy.add(key)
        return state.named(key, pod, wanted)

    async def _forget_predecessor(self, state: TenantState, key: ObjectKey, uid: str) -> None:
        """Tokens of a pod that had the same name: nothing else comes by when it is replaced."""
        request = state.request(PODS.plural, key)
        if (before := state.deleted.get(request, uid)) != uid:
            await tokens.remove_of_pod(self._super, state, key.namespace, before)
            state.deleted.pop(request, None)

    async def _send(
        self,
        state: TenantState,
        key: ObjectKey,
        mirror_key: ObjectKey,
        source: TenantPod,
        pod: Object,
        wanted: Object,
        candidate: Candidate | None,
    ) -> None:
        try:
            await self._requirements.of_new(state, key, pod)
            require_prepared(self._super, state, key.namespace)
            # Last: what is granted is sent at once, and the members of a gang have all that they need.
            if candidate and not await self._admission.admit(state, key, candidate):
                if candidate.wanted is None:  # else it is admitted for the nodes that it has
                    state.leave_room(key)
                return
            tokens.plan(state, pod)
            self._super.admission.sending(state.request(PODS.plural, key))
            made = self._super.pods.put(await self._create_mirror(mirror_key, wanted, candidate))
        except AlreadyExists:
            if not await self._in_the_way(state, key, mirror_key, source):
                raise
            return
        except Waiting:
            if state.pods.get(key) is source:
                state.newest.setdefault(key, encode(pod))
            raise
        except (Forbidden, Invalid, ServerError) as error:
            await self._not_created(state, key, pod, error)
            raise
        state.anew.settled(key)
        self._check_place(state, key, source.uid, made)
        await no_longer_refused(state, key, pod)
        await tell_not_offered(state, key, pod, made.handler if made else "")
        if pod["spec"].get("ephemeralContainers"):
            self._super.down.add(state.request(PODS.plural, key))  # they only come in an update
        else:
            source.synced = source.mutable

    async def _create_mirror(
        self, mirror_key: ObjectKey, wanted: Object, candidate: Candidate | None
    ) -> bytes:
        # Other syncers wait until what was granted devices has been sent (membership/turn.py).
        granted = candidate is not None and candidate.wanted is not None
        with out_of_turn() if granted else nullcontext():
            return await self._super.client.create(PODS, mirror_key, encode(wanted))

    def _check_place(
        self, state: TenantState, key: ObjectKey, uid: str, made: SuperPod | None
    ) -> None:
        """The tenant's pod may have been bound while its super pod was being made for any node."""
        source = state.pods.get(key)
        if made and source and source.uid == uid and is_elsewhere(source, made):
            self._super.down.add(state.request(PODS.plural, key))

    async def _not_created(
        self, state: TenantState, key: ObjectKey, pod: Object, error: ApiError
    ) -> None:
        """Tell why, if it is more than a moment's trouble."""
        if isinstance(error, ServerError):
            if (
                "failed calling webhook" in error.message
            ):  # its address is not the tenant's business
                message = "an admission webhook of the super cluster does not answer; tried again"
                await tell(state, PODS, key, pod["metadata"]["uid"], "FailedMirror", message)
        elif "service account" not in error.message:  # a new namespace: it comes in a moment
            state.leave_room(key)
            await refuse(state, key, pod, "FailedMirror", error.message)
            self._super.admission.withdraw(state.request(PODS.plural, key))

    async def _in_the_way(
        self, state: TenantState, key: ObjectKey, mirror_key: ObjectKey, source: TenantPod
    ) -> bool:
        """Find out what has the pod's name; False: try again later."""
        live = await self._super.client.get(PODS, mirror_key)
        found = self._super.pods.read(live)
        if found.source_uid and found.tenant == state.tenant.key:
            if self._super.take_in_pod(live) is None:
                return False  # the watch does not know it: it is gone already
            self._super.down.add(state.request(PODS.plural, key))
            return True
        message = (
            f"metadata.name: {key.name!r} is taken in the super cluster by a pod that is not yours"
        )
        await tell(state, PODS, key, source.uid, "NameTaken", message)
        self._super.admission.withdraw(state.request(PODS.plural, key))
        return True

    async def _update(
        self,
        state: TenantState,
        key: ObjectKey,
        mirror_key: ObjectKey,
        source: TenantPod,
        mirror: SuperPod,
    ) -> None:
        if is_elsewhere(source, mirror):
            await begin_anew(self._super, state, key, source.uid, mirror)
            return
        if not mirror.deleting:
            state.anew.settled(key)
        placed = bool(source.node or mirror.node)
        in_step = source.synced == source.mutable and not source.gated
        if in_step and (placed or key not in state.choosy):
            state.newest.pop(key, None)
            return
        pod = await self._read(state, key, source.uid)
        if pod is None:
            return
        state.usage.record(key, references(pod))
        if source.node:
            await tokens.provide(self._super, state, pod)  # usually there: no call then
        else:
            tokens.plan(state, pod)
        await tell_not_offered(state, key, pod, mirror.handler)
        if source.gated:
            await self._changes.readiness(mirror_key, pod)
        try:
            if not placed and await self._renew(state, key, mirror_key, pod, mirror):
                return
            wanted = mutable_digest(pod, state.tenant)
            if wanted != mirror.digest:
                await self._requirements.of_all(state, key, source.uid)
                await self._changes.patch(state, key, mirror_key, source, pod, wanted)
        except Refused as refused:
            await tell(state, PODS, key, source.uid, refused.reason, str(refused))
            return
        source.synced = source.mutable

    async def _renew(
        self,
        state: TenantState,
        key: ObjectKey,
        mirror_key: ObjectKey,
        pod: Object,
        mirror: SuperPod,
    ) -> bool:
        """The tenant says other things of its nodes than when it was sent: nothing has run, begin anew.

        Only while it is just as we know it: that it is bound meanwhile raises Conflict.
        """
        if mirror.deleting or waits_for_claims(pod, state.tenant):
            return False
        if not (mirror.named or state.own_nodes.concern(pod)):
            return False
        had = state.own_nodes.room.nodes_of(key)
        marks = self._translated(state, key, pod)["metadata"]["annotations"]
        if marks.get(api.VIRTUAL_NODES_ANNOTATION, "") == mirror.named:
            return False
        state.own_nodes.room.widen(key, had)  # until it is gone it may still be bound there
        state.anew.remove(mirror.uid)
        await self._super.client.delete(PODS, mirror_key, uid=mirror.uid, version=mirror.version)
        return True

    async def _terminate(
        self,
        state: TenantState,
        key: ObjectKey,
        mirror_key: ObjectKey,
        source: TenantPod,
        mirror: SuperPod | None,
    ) -> None:
        state.newest.pop(key, None)
        if mirror is None:
            self._super.up.add(state.request(PODS.plural, key))
            return
        # A pod that a finalizer holds may have no time left, and is still there. A kubelet gives it a
        # second (at the least, as pkg/kubelet does) and says how it ended; without one nobody would.
        grace = max(MINIMUM_GRACE_SECONDS, source.grace or 0)
        if not mirror.deleting or (mirror.grace or 0) > grace:
            await self._delete(mirror_key, mirror, grace)

    async def _replaced(
        self, state: TenantState, key: ObjectKey, mirror_key: ObjectKey, mirror: SuperPod
    ) -> None:
        """The super pod is of another pod of that name: of one before, or of one that we do not know yet."""
        seen = state.deleted.get(state.request(PODS.plural, key)) == mirror.source_uid
        if seen or not await self._still_there(state, key, mirror):
            # Its DELETED event brings us back, to create the new one.
            await self._delete_given_up(mirror_key, mirror)

    async def _source_gone(
        self, state: TenantState, key: ObjectKey, mirror_key: ObjectKey, mirror: SuperPod | None
    ) -> None:
        request = state.request(PODS.plural, key)
        uid = state.deleted.get(request, "")
        if mirror is None:
            if self._super.admission.in_doubt(request) and await self._has_come(mirror_key):
                self._super.down.add(request)
                return
            if uid:
                await tokens.remove_of_pod(self._super, state, key.namespace, uid)
            if state.pods.get(key) is None:  # else one of the same name has come meanwhile
                state.deleted.pop(request, None)
                self._super.gone.pop(mirror_key, None)
                state.forget_pod(key)
            return
        if uid != mirror.source_uid and await self._still_there(state, key, mirror):
            return
        state.deleted[request] = mirror.source_uid
        await self._delete_given_up(mirror_key, mirror)

    async def _delete_given_up(self, mirror_key: ObjectKey, mirror: SuperPod) -> None:
        """The tenant's pod was forced away, or never ran.

        The kubelet still gives it the time that its spec says. If the node does not answer nobody would
        ever confirm its end; then its name becomes free at once, as it does in a cluster of one's own.
        """
        node = self._super.published[NODES.plural].get(ObjectKey("", mirror.node))
        silent = node is not None and is_silent(decode_object(node.raw))
        if silent or not mirror.deleting:
            await self._delete(mirror_key, mirror, 0 if silent else None)

    async def _has_come(self, mirror_key: ObjectKey) -> bool:
        """The answer to its creation was lost: the super pod is there nevertheless."""
        try:
            live = await self._super.client.get(PODS, mirror_key)
        except NotFound:
            return False
        return self._super.take_in_pod(live) is not None

    async def _still_there(self, state: TenantState, key: ObjectKey, mirror: SuperPod) -> bool:
        """Nobody saw the tenant's pod being deleted: absence from a cache is no proof, so look."""
        try:
            found = state.pods.put(await state.client.get(PODS, key))
        except NotFound:
            return False
        return found is not None and found.uid == mirror.source_uid

    async def _delete(self, mirror_key: ObjectKey, mirror: SuperPod, grace: int | None) -> None:
        try:
            await self._super.client.delete(
                PODS, mirror_key, uid=mirror.uid, grace_period_seconds=grace
            )
        except (NotFound, Conflict):
            pass  # gone, or another one already; its event brings us back
