"""The super cluster as the syncer knows it, and which requests a change there leads to.

Nothing is decided here. Requests are named by the tenant's namespace and name, in both directions.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from kube.client import Client
from kube.objects import Object, ObjectKey, decode_object
from kube.resources import (
    CONFIG_MAPS,
    DEVICE_CLASSES,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    RUNTIME_CLASSES,
    SECRETS,
)
from syncer.admission.admission import Admission
from syncer.admission.grants import Turn
from syncer.by_node import ByNode
from syncer.counted import count, count_claims
from syncer.entries import Entry, SuperPod, TenantPod, decode_super_pod, entry_decoder
from syncer.hosts import Hosts, holder_of
from syncer.kinds.isolation import COMPONENT as ISOLATION_COMPONENT
from syncer.kinds.mirror import DownwardKind, UpwardKind
from syncer.kinds.node import is_silent
from syncer.kinds.offers import Offers
from syncer.offered import CLASSES, offers_of
from syncer.runtime.history import History
from syncer.runtime.store import ObjectStore
from syncer.runtime.workqueue import Request, WorkQueue

if TYPE_CHECKING:
    from syncer.tenant_state import TenantState

TOKEN_COMPONENT = "token"
MASS_KINDS = frozenset({CONFIG_MAPS.plural, SECRETS.plural, EVENTS.plural})
"""Kinds that are watched and kept without their contents."""


class GonePod(NamedTuple):
    """A super pod that was deleted."""

    raw: bytes
    reported: bool
    """The tenant's pod is known to show this very status."""


class SuperState:
    """Stores by kind, the tenants by key, and the two queues."""

    def __init__(
        self,
        client: Client,
        down: WorkQueue,
        up: WorkQueue,
        downward: Sequence[DownwardKind],
        upward: Sequence[UpwardKind],
        turn: Turn,
    ) -> None:
        self.client = client
        self.downward = {kind.resource.plural: kind for kind in downward}
        self.upward = {kind.resource.plural: kind for kind in upward}
        self.down = down
        self.up = up
        self.tenants: dict[str, TenantState] = {}
        self.pods = ObjectStore[SuperPod](decode_super_pod, self._pod_changed)
        self.mirrors = {kind.resource.plural: self._mirrors_of(kind) for kind in downward}
        self.published = {kind.resource.plural: self._published_of(kind) for kind in upward}
        self.events = ObjectStore[Entry](entry_decoder(keep_bytes=False), self._event_changed)
        self.newest: dict[ObjectKey, bytes] = {}
        """The bytes of super pods whose status waits to go up; read again if missing."""
        self.gone: dict[ObjectKey, GonePod] = {}
        """The last state of super pods that were deleted, until the tenant knows."""
        self.new_events: dict[ObjectKey, bytes] = {}
        self.hosts = Hosts()
        self._shown: dict[tuple[str, str], str] = {}
        self._linked_to: dict[tuple[str, str], str] = {}
        """Of objects that only one tenant may see: the super namespace of what they name."""
        self._offers: Offers | None = None
        self.admission = Admission(down.add_together, _soon, turn=turn)
        self.others_pods = ObjectStore[SuperPod](decode_super_pod, self._others_pod_changed)
        """The device pods that other syncers care for; empty if there are none."""
        self.history = History()
        self.devices = ByNode()
        """What there is on which node, and is shown with it."""

    def add_downward(self, kind: DownwardKind) -> ObjectStore[Entry]:
        """A kind that tenants' options ask for; where its mirrors are to be kept."""
        plural = kind.resource.plural
        self.mirrors[plural] = self._mirrors_of(kind)
        self.downward[plural] = kind
        for state in self.tenants.values():
            state.add_source(kind)
        return self.mirrors[plural]

    def add_upward(self, kind: UpwardKind) -> ObjectStore[Entry]:
        """A kind that tenants' options ask for; where its objects are to be kept."""
        plural = kind.resource.plural
        self.published[plural] = self._published_of(kind)
        self.upward[plural] = kind
        for state in self.tenants.values():
            state.add_copy(kind)
        return self.published[plural]

    def _mirrors_of(self, kind: DownwardKind) -> ObjectStore[Entry]:
        plural = kind.resource.plural
        changed = self._holder_changed if kind.hosts else self._mirror_changed
        decoder = entry_decoder(keep_bytes=plural not in MASS_KINDS)
        return ObjectStore[Entry](decoder, partial(changed, plural))

    def _published_of(self, kind: UpwardKind) -> ObjectStore[Entry]:
        decoder = entry_decoder(keep_bytes=not kind.metadata_only)
        return ObjectStore[Entry](decoder, partial(self._published_changed, kind.resource.plural))

    @property
    def offers(self) -> Offers:
        """The classes that the provider has marked as public."""
        if self._offers is None:
            self._offers = offers_of(self.published)
        return self._offers

    def overhead_of(self, runtime_class: str | None) -> Object:
        """What the super cluster adds to the requests of a pod of this class."""
        entry = self.published[RUNTIME_CLASSES.plural].get(ObjectKey("", runtime_class or ""))
        found = decode_object(entry.raw) if entry else {}
        overhead: Object = (found.get("overhead") or {}).get("podFixed") or {}
        return overhead

    def may_see(self, state: "TenantState", plural: str, name: str) -> bool:
        """The tenant may be shown an object of the super cluster."""
        kind = self.upward[plural]
        if kind.names is not None and name not in kind.names(state.tenant):
            return False
        if kind.link is None:
            return True
        owner = self.owner_of(self._linked_to.get((plural, name), ""))
        return owner is not None and owner[0] is state

    def _concerned(self, plural: str, name: str) -> set[str]:
        """The tenants that may be shown the object, or are: of its namespace nothing may be left."""
        return {
            key
            for key, state in self.tenants.items()
            if self.upward[plural].enabled(state.tenant)
            if self.may_see(state, plural, name) or state.shows(plural, name)
        }

    def node(self, name: str) -> Entry | None:
        """The super cluster's node of that name."""
        return self.published[NODES.plural].get(ObjectKey("", name))

    def take_in_pod(self, raw: bytes) -> SuperPod | None:
        """Take in a super pod that was read because the watch has not told of it; None if it is gone.

        Its status has to be looked at now: the watch will not tell of a version that is known.
        """
        found = self.pods.put(raw)
        if found is not None:
            self.up.add(Request(found.tenant, PODS.plural, *found.source))
        return found

    def owner_of(self, namespace: str) -> tuple["TenantState", str] | None:
        """The tenant, and its name of a super namespace; None if it is nobody's."""
        entry = self.mirrors[NAMESPACES.plural].get(ObjectKey("", namespace))
        state = self.tenants.get(entry.tenant) if entry else None
        return (state, entry.source.name) if state and entry else None

    def forget(self, tenant: str) -> None:
        """The tenant's session has ended: what waited for it goes."""
        self.hosts.forget_tenant(tenant)
        for key in [k for k, raw in self.newest.items() if self.pods.read(raw).tenant == tenant]:
            del self.newest[key]
        for key in [k for k, pod in self.gone.items() if self.pods.read(pod.raw).tenant == tenant]:
            del self.gone[key]
        namespaces = self.mirrors[NAMESPACES.plural]
        for key in list(self.new_events):
            namespace = namespaces.get(ObjectKey("", key.namespace))
            if namespace is None or namespace.tenant == tenant:
                del self.new_events[key]

    def _pod_changed(
        self, key: ObjectKey, before: SuperPod | None, after: SuperPod | None, raw: bytes, own: bool
    ) -> None:
        pod = after or before
        if pod and (pod.devices or pod.gang or pod.tenant in self.admission.ledgers):
            self.admission.super_pod(key, before, after, raw)
        state = self.tenants.get(pod.tenant) if pod else None
        if pod is None or state is None or state.mirror_key(PODS.plural, pod.source) != key:
            return
        request = Request(pod.tenant, PODS.plural, *pod.source)
        source = state.pods.get(pod.source)
        if after is None:
            self.newest.pop(key, None)
            renewed = state.anew.is_removed(pod)
            state.anew.keep(pod.uid)
            if raw and not renewed:
                last = self.pods.read(raw).status
                self.gone[key] = GonePod(raw, before is not None and before.reported == last)
            # The upward side ends the tenant's pod, and its end leads downward; without it:
            (self.up if _is_of(source, pod) else self.down).add(request)
            return
        if before and before.uid == after.uid:
            after.reported = before.reported
            if before.digest != after.digest and not own:
                self.down.add(request)
            seen = before.status, before.node
            if seen == (after.status, after.node) and (
                before.deleting == after.deleting or (_is_of(source, after) and source.deleting)
            ):
                return  # nothing that the tenant's pod does not show
            # Also in the answer to a write of ours: the watch will not tell it a second time.
        elif own:
            return  # just created
        elif not _is_of(source, after):
            self.down.add(request)
        self.newest[key] = raw
        self.up.add(request)

    def _others_pod_changed(
        self,
        key: ObjectKey,
        _before: SuperPod | None,
        after: SuperPod | None,
        raw: bytes,
        _own: bool,
    ) -> None:
        if self.pods.get(key) is None:  # else it has come to us meanwhile
            self.admission.others_pod(key, after, raw)

    def _mirror_changed(
        self,
        plural: str,
        key: ObjectKey,
        before: Entry | None,
        after: Entry | None,
        raw: bytes,
        own: bool,
    ) -> None:
        entry = after or before
        state = self.tenants.get(entry.tenant) if entry else None
        if entry is None or state is None:
            self._unmarked_changed(key, entry, own)
            return
        if entry.component == TOKEN_COMPONENT:
            _token_changed(state, key, before, after, own)
            return
        if state.mirror_key(plural, entry.source) != key:
            return
        count(self, entry.tenant, plural, key, after)
        request = Request(entry.tenant, plural, *entry.source)
        if after is not None:
            if own:
                after.written = after.version
            elif before and before.uid == after.uid:
                after.written = before.written
            for waiting in state.usage.wake(plural, entry.source):
                self.down.add(waiting)
            if self.downward[plural].to_tenant is not None:
                self.up.add(request)
        else:
            state.lost.add(request)
        if not own:
            self.down.add(request)

    def _unmarked_changed(self, key: ObjectKey, entry: Entry | None, own: bool) -> None:
        """Of what mirrors nothing, the policies that isolate a namespace are ours to keep."""
        owner = self.owner_of(key.namespace)
        if owner and entry and entry.component == ISOLATION_COMPONENT and not own:
            self.down.add(owner[0].request(NAMESPACES.plural, ObjectKey("", owner[1])))

    def _holder_changed(
        self,
        plural: str,
        key: ObjectKey,
        before: Entry | None,
        after: Entry | None,
        raw: bytes,
        own: bool,
    ) -> None:
        """Also of tenants that have no session here: a host has one owner among all."""
        self._mirror_changed(plural, key, before, after, raw, own)
        hosts, holder = self.downward[plural].hosts, None
        if after is not None and hosts is not None:
            obj = decode_object(after.raw)
            request = Request(after.tenant, plural, *after.source)
            holder = holder_of(obj, after.tenant, request, hosts(obj))
        for request in self.hosts.show(key, holder):
            if request.tenant in self.tenants:
                self.down.add(request)

    def _ask_for_given_up(self, node: str) -> None:
        """Nobody there confirms an end any more: the names of pods that tenants have forced away are free."""
        for pod in self.pods.values():
            state = self.tenants.get(pod.tenant) if pod.node == node and pod.deleting else None
            if state is not None and not _is_of(state.pods.get(pod.source), pod):
                self.down.add(Request(pod.tenant, PODS.plural, *pod.source))

    def _published_changed(
        self,
        plural: str,
        key: ObjectKey,
        before: Entry | None,
        after: Entry | None,
        raw: bytes,
        own: bool,
    ) -> None:
        kind, name = self.upward[plural], (plural, key.name)
        concerned = self._concerned(plural, key.name)
        if after is None:
            self._shown.pop(name, None)
            self._linked_to.pop(name, None)
            self.devices.put(plural, key.name, "")
            if plural == NODES.plural:
                self.admission.node(key.name, None)
        else:
            found = decode_object(raw)
            shown = kind.digest(found)
            if before and self._shown.get(name) == shown:
                return  # a heartbeat, say
            self._shown[name] = shown
            if plural == NODES.plural:
                self._node_changed(key.name, found)
            if kind.node is not None:
                self.devices.put(plural, key.name, kind.node(found))
            if kind.link is not None:
                target = kind.link.target(found)
                self._linked_to[name] = target.key.namespace if target else ""
                concerned |= self._concerned(plural, key.name)
        for tenant in concerned:
            self.up.add(Request(tenant, plural, "", key.name))
        if plural in CLASSES:
            self._offers = None
            if plural == DEVICE_CLASSES.plural:
                count_claims(self)
            self._ask_again()

    def _node_changed(self, name: str, node: Object) -> None:
        self.admission.node(name, node)
        if is_silent(node):
            self._ask_for_given_up(name)

    def _ask_again(self) -> None:
        """The offers have changed: what was refused for them may be admitted now."""
        for plural in (plural for plural, kind in self.downward.items() if kind.admitted):
            for state in self.tenants.values():
                for key in state.sources[plural].keys():
                    if self.mirrors[plural].get(state.mirror_key(plural, key)) is None:
                        self.down.add(state.request(plural, key))
        for state in self.tenants.values():
            for key in state.pods.keys():
                if self.pods.get(state.mirror_key(PODS.plural, key)) is None:
                    self.down.add(state.request(PODS.plural, key))

    def _event_changed(
        self, key: ObjectKey, before: Entry | None, after: Entry | None, raw: bytes, own: bool
    ) -> None:
        owner = self.owner_of(key.namespace)
        if after is None:
            self.new_events.pop(key, None)
            if owner:  # the tenant's API server lets its own copy expire
                owner[0].mirrored_events.pop(ObjectKey(owner[1], key.name), None)
            return
        if owner:
            state, namespace = owner
            self.new_events[key] = raw
            self.up.add(Request(state.tenant.key, EVENTS.plural, namespace, key.name))


def _is_of(source: TenantPod | None, pod: SuperPod) -> TypeGuard[TenantPod]:
    """The tenant's pod is the one that the super pod was made for."""
    return source is not None and source.uid == pod.source_uid


def _soon(call: Callable[[], None]) -> None:
    """In a moment: many pods often end together, and are looked at together then."""
    asyncio.get_running_loop().call_later(0.01, call)


def _token_changed(
    state: "TenantState", key: ObjectKey, before: Entry | None, after: Entry | None, own: bool
) -> None:
    if after is None and before is not None:
        state.token_lost(key, before)
    elif before is None and after is not None and not own:
        state.token_found(key, after)
