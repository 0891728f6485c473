"""One tenant as the syncer knows it, and which requests a change there leads to."""

import asyncio
from functools import partial
from typing import NamedTuple

from kube.client import Client
from kube.objects import Object, ObjectKey, decode_object
from kube.resources import CONFIG_MAPS, NAMESPACES, NODES, PODS, RUNTIME_CLASSES
from syncer.admission.figures import Figures
from syncer.admission.gangs import Gang
from syncer.admission.precedence import Precedence
from syncer.admission.rejection import Rejection
from syncer.entries import (
    Entry,
    TenantPod,
    decode_tenant_pod,
    entry_decoder,
    renewal_time,
)
from syncer.kinds.mirror import DownwardKind, UpwardKind, digest
from syncer.kinds.pod_volumes import own_secret_names
from syncer.made_anew import MadeAnew
from syncer.own_nodes import OwnNodes
from syncer.renewals import Renewals
from syncer.runtime.store import ObjectStore
from syncer.runtime.workqueue import Request
from syncer.super_state import MASS_KINDS, SuperState
from syncer.usage import Usage
from vcluster import api
from vcluster.api import Tenant, super_namespace

ROOM_SECONDS = 0.1
"""Between room that has become free and a look at who wants it."""
UNUSED_SECONDS = 5.0
"""How long a mirror that no pod uses any longer stays, so that the next pod finds it."""


class Prepared(NamedTuple):
    """What pods need of a super namespace of this UID is there, or not."""

    uid: str
    ready: bool


class TenantState:
    """Stores by kind, and what is known beyond them."""

    _asks_for_room = False
    quota_told: Figures | None = None
    """What the tenant's config map says of its quota."""

    def __init__(self, tenant: Tenant, client: Client, super_state: SuperState) -> None:
        self.tenant = tenant
        self.client = client
        self.super = super_state
        self.usage = Usage()
        self.pods = ObjectStore[TenantPod](decode_tenant_pod, self._pod_changed)
        self.sources: dict[str, ObjectStore[Entry]] = {}
        self.copies: dict[str, ObjectStore[Entry]] = {}
        self._add_stores()
        self.newest: dict[ObjectKey, bytes] = {}
        """The bytes of pods that wait to go down; read again if missing."""
        self.deleted: dict[Request, str] = {}
        """UIDs of objects whose deletion was seen, so that no absence has to be guessed from."""
        self.prepared: dict[str, Prepared] = {}  # by namespace
        self.accountless: set[str] = set()  # namespaces that still need our service account
        self.lost: set[Request] = set()
        """Objects whose mirror was deleted: what we know of them may be older than that."""
        self.told: dict[tuple[str, ObjectKey], str] = {}
        """What the tenant has last been told about an object, so as not to repeat it."""
        self.mirrored_events: dict[ObjectKey, str] = {}
        """The digests of the events that went up, by the tenant's key."""
        self.unissued: dict[ObjectKey, Object] = {}
        """Pods that get their tokens when they are bound: the parts of them that say which."""
        self.renewals = Renewals()
        self.nodes_in_use: dict[str, set[ObjectKey]] = {}
        self.own_nodes = OwnNodes(tenant, self.copies[NODES.plural].values, super_state.node)
        self.choosy: set[ObjectKey] = set()
        """Pods that are not bound yet, and whose place depends on what the tenant says of its nodes."""
        self.unclassed: set[ObjectKey] = set()
        """Pods that were refused for their RuntimeClass."""
        self.anew = MadeAnew()
        self.rejected: dict[ObjectKey, tuple[str, Rejection]] = {}
        """Of pods whose named node does not take them: the UID, and why, until the pod says so."""
        self.owner_gangs: dict[str, tuple[float, Gang | None]] = {}
        """The gangs of owners by UID, and when they were read (reconcilers/gang_owners.py)."""
        self.reasons: set[str] = set()
        """Why pods of this tenant have waited, for the metrics."""
        self.held: dict[ObjectKey, str] = {}
        """Why pods wait, as the tenant has last been told."""
        self.precedence = Precedence()

    def _add_stores(self) -> None:
        for downward in self.super.downward.values():
            self.add_source(downward)
        for upward in self.super.upward.values():
            self.add_copy(upward)

    def add_source(self, kind: DownwardKind) -> None:
        """Of each kind there is a store, be it an empty one."""
        plural = kind.resource.plural
        decoder = entry_decoder(keep_bytes=plural not in MASS_KINDS)
        changed = partial(self._source_changed, plural)
        self.sources[plural] = ObjectStore[Entry](decoder, changed)

    def add_copy(self, kind: UpwardKind) -> None:
        """Of each kind there is a store, be it an empty one."""
        decoder = entry_decoder(keep_bytes=not kind.metadata_only)
        changed = partial(self._copy_changed, kind.resource.plural)
        self.copies[kind.resource.plural] = ObjectStore[Entry](decoder, changed)

    def mirror_key(self, plural: str, key: ObjectKey) -> ObjectKey:
        """Where the mirror of the tenant's object is in the super cluster."""
        if plural == NAMESPACES.plural:
            return ObjectKey("", super_namespace(self.tenant.key, key.name))
        name = key.name
        if plural == CONFIG_MAPS.plural and name == api.ROOT_CA_CONFIG_MAP:
            name = api.MIRRORED_ROOT_CA_CONFIG_MAP
        return ObjectKey(super_namespace(self.tenant.key, key.namespace), name)

    def is_mirror(self, entry: Entry, key: ObjectKey) -> bool:
        """It mirrors this very object; two of the tenant's names may lead to one mirror's."""
        return bool(entry.source_uid) and (entry.tenant, entry.source) == (self.tenant.key, key)

    def copy_key(self, plural: str, name: str) -> ObjectKey:
        """Where the tenant sees an object of the super cluster.

        Nodes and classes keep their names. What belongs to the tenant has another one while an object
        of the tenant's own has that name.
        """
        plain = ObjectKey("", name)
        if self.super.upward[plural].link is None:
            return plain
        other = ObjectKey("", f"{name[:200]}-{digest([self.tenant.key, name])}")
        for key in (plain, other):
            copy = self.copies[plural].get(key)
            if copy is not None and copy.source_uid and copy.source.name == name:
                return key
        return plain if self.copies[plural].get(plain) is None else other

    def shows(self, plural: str, name: str) -> bool:
        """The tenant has a copy of the super cluster's object of that name."""
        return self.copies[plural].get(self.copy_key(plural, name)) is not None

    def published_names(self, plural: str) -> set[str]:
        """The super cluster's names of what the tenant is shown, or should be."""
        published = self.super.published[plural].keys()
        names = {name for _, name in published if self.super.may_see(self, plural, name)}
        copies = self.copies[plural].items()
        return names | {copy.source.name or copy_key.name for copy_key, copy in copies}

    def request(self, plural: str, key: ObjectKey) -> Request:
        """The request that names this tenant's object."""
        return Request(self.tenant.key, plural, *key)

    def forget_pod(self, key: ObjectKey) -> None:
        """The pod is gone on both sides: what only it used may go, in a while."""
        for plural, used in self.usage.drop(key):
            self.super.down.add_after(self.request(plural, used), UNUSED_SECONDS)
        self.told.pop((PODS.plural, key), None)
        self.held.pop(key, None)
        self.unissued.pop(key, None)
        self.precedence.settled(key)
        self.choosy.discard(key)
        self.unclassed.discard(key)
        self.rejected.pop(key, None)
        self.anew.settled(key)
        self.own_nodes.leaving.pop(key, None)
        self.leave_room(key)
        self.super.admission.withdraw(self.request(PODS.plural, key))

    def token_found(self, key: ObjectKey, secret: Entry) -> None:
        """A super token Secret is there: plan its renewal, or its removal if its pod is not."""
        pod = self.pods.get(secret.source)
        orphan = pod is None or pod.uid != secret.source_uid
        # The renewal looks whether the pod is really gone, and removes the Secret if so.
        self.renewals[key] = 0.0 if orphan else renewal_time(secret.digest)

    def token_lost(self, key: ObjectKey, secret: Entry) -> None:
        """A super token Secret was deleted: its pod, if it is still there, needs another one."""
        self.renewals.forget(key)
        pod = self.pods.get(secret.source)
        if pod is not None and pod.uid == secret.source_uid and not pod.deleting:
            pod.synced = 0
            self.super.down.add(self.request(PODS.plural, secret.source))

    def _doubt_tokens(self, pod: ObjectKey, uid: str) -> None:
        """A list no longer has the pod: its renewal looks whether it is gone, and removes the Secrets."""
        namespace = super_namespace(self.tenant.key, pod.namespace)
        for name in own_secret_names(uid):
            if (secret := ObjectKey(namespace, name)) in self.renewals:
                self.renewals[secret] = 0.0

    def use_node(self, node: str, pod: ObjectKey) -> None:
        """The pod runs on the node: a virtual node may be needed (nodes.mode: used)."""
        if self.tenant.nodes_mode != "used":
            return
        if node not in self.nodes_in_use:
            self.super.up.add(Request(self.tenant.key, "nodes", "", node))
        self.nodes_in_use.setdefault(node, set()).add(pod)

    def leave_node(self, node: str, pod: ObjectKey) -> None:
        """The pod no longer is on the node."""
        pods = self.nodes_in_use.get(node, set())
        pods.discard(pod)
        if not pods and self.nodes_in_use.pop(node, None) is not None:
            self.super.up.add(Request(self.tenant.key, "nodes", "", node))

    def runtime_handler(self, name: str) -> str | None:
        """The handler of the tenant's RuntimeClass, whoever made it; None: no such class is known."""
        entry = self.copies[RUNTIME_CLASSES.plural].get(ObjectKey("", name))
        return str(decode_object(entry.raw).get("handler", "")) if entry is not None else None

    def rejection_of(self, key: ObjectKey, uid: str) -> Rejection | None:
        """Why the pod's named node does not take it, if its super pod was removed for that."""
        rejected_uid, why = self.rejected.get(key, ("", None))
        return why if rejected_uid == uid else None

    def heed_nodes(self) -> None:
        """Ask for a look at the pods that news of nodes concern: some wait, some may have to leave."""
        news = self.own_nodes.news()
        if news.all_waiting:
            self.choosy.update(key for key, pod in self.pods.items() if not pod.node)
        if news.all_waiting or news.labels:
            for key in sorted(self.choosy, key=self._importance):
                self.super.down.add(self.request(PODS.plural, key))
        if news.evicting:
            for key, pod in self.pods.items():
                if pod.node in news.evicting:
                    self.super.up.add(self.request(PODS.plural, key))

    def _importance(self, key: ObjectKey) -> int:
        pod = self.pods.get(key)
        return -pod.priority if pod is not None else 0

    def named(self, key: ObjectKey, pod: Object, wanted: Object) -> Object:
        """The super pod, which names nodes because of what the tenant says of its own. Raises Refused."""
        had = self.own_nodes.room.nodes_of(key)
        wanted = self.own_nodes.named(key, pod, wanted)
        if had - self.own_nodes.room.nodes_of(key):
            self.ask_for_room()
        return wanted

    def leave_room(self, key: ObjectKey) -> None:
        """The pod needs its room no longer, of resources that the tenant itself gave to its nodes."""
        if self.own_nodes.room.release(key):
            self.ask_for_room()

    def ask_for_room(self) -> None:
        """Ask for a look at the pods that have found no room, in a moment: pods often end together."""
        if not self._asks_for_room:
            self._asks_for_room = True
            asyncio.get_running_loop().call_later(ROOM_SECONDS, self._ask_for_room)

    def _ask_for_room(self) -> None:
        self._asks_for_room = False
        if self.super.tenants.get(self.tenant.key) is self:  # else its session has ended
            for key in self.own_nodes.room.waiting():
                self.super.down.add(self.request(PODS.plural, key))

    def _pod_changed(
        self,
        key: ObjectKey,
        before: TenantPod | None,
        after: TenantPod | None,
        raw: bytes,
        own: bool,
    ) -> None:
        request = self.request(PODS.plural, key)
        down = self.super.down
        self._heed_end(key, before, after)
        if after is None:
            self.newest.pop(key, None)
            if before:
                if raw:
                    self.deleted[request] = before.uid
                else:
                    self._doubt_tokens(key, before.uid)
                if before.node:
                    self.leave_node(before.node, key)
            down.add(request)
            return
        self.precedence.seen(after.priority)
        if before and before.node and before.node != after.node:
            self.leave_node(before.node, key)  # another pod of the same name
        if after.node:
            self._placed(key, before, after)
        if before and before.uid == after.uid:
            after.synced, after.removed = before.synced, before.removed
            seen = before.mutable, before.deleting, before.grace, before.claims
            now = after.mutable, after.deleting, after.grace, after.claims
            if seen == now and not after.gated:
                return
            if after.removed:
                return  # this is what we have asked for ourselves; nothing is left below
        self.newest[key] = raw
        down.add(request)

    def _heed_end(self, key: ObjectKey, before: TenantPod | None, after: TenantPod | None) -> None:
        if self.own_nodes.room:
            other = before is not None and after is not None and before.uid != after.uid
            if after is None or after.finished or other:
                self.leave_room(key)

    def _placed(self, key: ObjectKey, before: TenantPod | None, after: TenantPod) -> None:
        node, mirror_key = after.node, self.mirror_key(PODS.plural, key)
        self.use_node(node, key)
        self.choosy.discard(key)
        if self.own_nodes.room.placed(key, after.uid, node):
            self.ask_for_room()
        mirror = self.super.pods.get(mirror_key)
        waited = before and before.uid == after.uid and not (before.node or before.synced)
        if mirror is not None and mirror.node != node:  # somebody else than us has bound it
            self.super.down.add(self.request(PODS.plural, key))
        elif waited and mirror is None and mirror_key not in self.super.gone:
            # It never had a super pod: neither was it bound by us.
            self.anew.expect(key, after.uid)
            self.newest.pop(key, None)
        if self.own_nodes.evicting(node):
            self.super.up.add(self.request(PODS.plural, key))

    def _source_changed(
        self,
        plural: str,
        key: ObjectKey,
        before: Entry | None,
        after: Entry | None,
        raw: bytes,
        own: bool,
    ) -> None:
        request = self.request(plural, key)
        if after is None and before and raw:
            self.deleted[request] = before.uid
        if own:
            return
        self.super.down.add(request)
        if self.super.downward[plural].to_tenant is not None:
            self.super.up.add(request)  # the tenant may have undone what the super cluster decided

    def _copy_changed(
        self,
        plural: str,
        key: ObjectKey,
        before: Entry | None,
        after: Entry | None,
        raw: bytes,
        own: bool,
    ) -> None:
        if plural == NODES.plural and (before is None or after is None):
            for item in self.super.devices.of(key.name):
                self.super.up.add(self.request(item.plural, ObjectKey("", item.name)))
        said = plural == NODES.plural and self.own_nodes.changed(key.name, before, after)
        if plural == RUNTIME_CLASSES.plural:
            for pod in self.unclassed:
                self.super.down.add(self.request(PODS.plural, pod))
        copy = after or before
        if (said or not own) and copy is not None:
            name = copy.source.name or key.name  # in the super cluster
            self.super.up.add(self.request(plural, ObjectKey("", name)))
