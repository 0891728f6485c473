"""A super cluster, tenants, and a syncer between them that can be killed and started again."""

import asyncio
import contextlib
import gc
from typing import Any, NamedTuple

import msgspec

from kube.connection import Credentials, FixedCredentials
from kube.objects import Object, ObjectKey
from kube.resources import EVENTS, NAMESPACES, NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from syncer import metrics
from syncer.app import App
from syncer.settings import Settings
from syncer.tenants import VIRTUAL_CLUSTERS
from tests.builders import a_kubeconfig_secret, a_namespace, a_node
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.status import forbidden
from tests.fakes.targets import Target
from tests.fakes.waiting import eventually
from vcluster import api
from vcluster.api import Tenant

RUNNING = {
    "phase": "Running",
    "conditions": [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "True"},
    ],
    "podIP": "10.244.0.7",
}


_COLLECTOR = gc.get_threshold()
"""The syncer sets its own; what it froze stays so, which costs a test less than thawing it."""


class TenantCluster:
    """One tenant's API server, and the tenant as the super cluster describes it."""

    def __init__(self, server: FakeApiServer, tenant: Tenant, super_server: FakeApiServer) -> None:
        self.server = server
        self.tenant = tenant
        self._super = super_server

    def mirror_key(self, key: ObjectKey) -> ObjectKey:
        """Where the mirror of an object has to be."""
        return ObjectKey(api.super_namespace(self.tenant.key, key.namespace), key.name)

    def mirror(self, resource: Resource, key: ObjectKey) -> Object | None:
        """The mirror of an object, or None."""
        return self._super.get(resource, self.mirror_key(key))

    async def goes_down(self, resource: Resource, key: ObjectKey) -> Object:
        """Wait for the mirror of an object."""
        return await eventually(
            lambda: self.mirror(resource, key), f"{resource.plural} {key} is in the super cluster"
        )

    async def runs(self, key: ObjectKey, node: str = "node-1") -> None:
        """Do what scheduler and kubelet do, and wait until the tenant sees the pod running."""
        await self.goes_down(PODS, key)
        self.start_pod(key, node)
        await self.shows(key, "Running")

    def start_pod(self, key: ObjectKey, node: str = "node-1") -> None:
        """Do what scheduler and kubelet do."""
        self._super.bind(PODS, self.mirror_key(key), node)
        self._super.patch(PODS, self.mirror_key(key), {"status": RUNNING}, "status")

    async def shows(self, key: ObjectKey, phase: str) -> Object:
        """Wait until the tenant's pod is in a phase."""

        def in_phase() -> Object | None:
            pod = self.server.get(PODS, key)
            return pod if pod and pod["status"].get("phase") == phase else None

        return await eventually(in_phase, f"the tenant's pod {key} is {phase}")

    async def gone_everywhere(self, resource: Resource, key: ObjectKey) -> None:
        """Wait until neither side has an object any more."""
        await eventually(
            lambda: not self.server.get(resource, key) and not self.mirror(resource, key),
            f"{resource.plural} {key} is gone on both sides",
        )

    async def told(self, reason: str) -> Object:
        """Wait for an Event with a reason."""

        def event() -> Object | None:
            events = self.server.objects(EVENTS)
            return next((event for event in events if event["reason"] == reason), None)

        return await eventually(event, f"the tenant is told {reason}")


class Syncer(NamedTuple):
    """A syncer that runs in this process."""

    app: App
    running: asyncio.Task[None]


class World:
    """Close it at the end."""

    def __init__(self) -> None:
        self.super = FakeApiServer()
        self.super.verbs.admission.append(self._service_account_admission)
        self._tenants: list[TenantCluster] = []
        self.syncers: dict[str, Syncer] = {}
        """Those that run, by the names they were started under."""

    async def start(self) -> None:
        """Start the super cluster; it has one node."""
        await self.super.start()
        for name in ("tenants", Settings().namespace):
            self.super.create(NAMESPACES, a_namespace(name))
        self.super.create(NODES, a_node())

    async def add_tenant(
        self, name: str, spec: Object | None = None, **sync: object
    ) -> TenantCluster:
        """Do what the operator does for a tenant; ``sync``: its effective options."""
        server = FakeApiServer()
        await server.start()
        virtual_cluster = {
            "metadata": {"name": name, "namespace": "tenants"},
            "spec": spec or {},
        }
        uid = self.super.create(VIRTUAL_CLUSTERS, virtual_cluster)["metadata"]["uid"]
        key = api.tenant_key(name, uid)
        self.super.create(NAMESPACES, a_namespace(key))
        secret = ObjectKey(key, api.SYNCER_KUBECONFIG_SECRET)
        self.super.create(SECRETS, a_kubeconfig_secret(secret, server.url))
        status = {"tenantKey": key, "serviceCIDR": "10.101.5.0/24", "effective": {"sync": sync}}
        done = self.super.patch(
            VIRTUAL_CLUSTERS, ObjectKey("tenants", name), {"status": status}, "status"
        )
        cluster = TenantCluster(server, Tenant.from_object(done), self.super)
        self._tenants.append(cluster)
        return cluster

    def set_options(self, cluster: TenantCluster, **sync: object) -> None:
        """Do what the operator does when these options of a tenant have changed."""
        key = ObjectKey(cluster.tenant.namespace, cluster.tenant.name)
        status = {"effective": {"sync": sync}}
        self.super.patch(VIRTUAL_CLUSTERS, key, {"status": status}, "status")

    async def start_syncer(self, **told: Any) -> None:
        """Start the syncer, and wait until it mirrors every tenant; ``told``: its settings."""
        self.start_member("syncer", **told)
        for cluster in self._tenants:
            await self.in_step(cluster)

    async def start_syncer_without_waiting(self) -> None:
        """Start the syncer."""
        self.start_member("syncer")

    def start_member(self, name: str, **told: Any) -> "Syncer":
        """Start a syncer that is one of several; others of its namespace know of it."""
        settings = Settings(**{"request_timeout": 3.0, "patrol_seconds": 3600, **told})
        super_credentials = FixedCredentials(Credentials(server=self.super.url, ca=b""))
        app = App(msgspec.structs.replace(settings, member=name), super_credentials)
        self.syncers[name] = Syncer(app, asyncio.create_task(app.run()))
        return self.syncers[name]

    async def in_step(self, cluster: TenantCluster) -> None:
        """Wait until the syncer says that it mirrors the tenant."""
        key = {"tenant": cluster.tenant.key}

        def synced() -> bool:
            for syncer in self.syncers.values():
                if syncer.running.done():
                    syncer.running.result()
            return metrics.REGISTRY.get_sample_value("syncer_tenant_synced", key) == 1

        await eventually(synced, f"{cluster.tenant.key} is in step", every=0.03)

    async def nothing_to_do(self) -> None:
        """Wait until the syncers have worked off all that they know of."""
        await eventually(
            lambda: all(syncer.app.idle for syncer in self.syncers.values()),
            "nothing is left to do",
        )

    async def kill_syncer(self, name: str = "syncer") -> None:
        """End it without any notice; its memory is lost."""
        if (syncer := self.syncers.pop(name, None)) is not None:
            syncer.running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await syncer.running

    async def stop_syncer(self, name: str) -> None:
        """End it as SIGTERM does: it hands its tenants over."""
        syncer = self.syncers.pop(name)
        syncer.app.leave()
        await syncer.running

    async def close(self) -> None:
        """Stop everything."""
        for name in list(self.syncers):
            await self.kill_syncer(name)
        for cluster in self._tenants:
            cluster.server.thaw()
            await cluster.server.stop()
        await self.super.stop()
        gc.set_threshold(*_COLLECTOR)

    def _service_account_admission(self, target: Target, obj: Object) -> None:
        """As in a real cluster: no pod without its service account, whose controller is slow."""
        account = ObjectKey(target.namespace, "default")
        if target.plural == "pods" and self.super.get(SERVICE_ACCOUNTS, account) is None:
            late = {"metadata": {"name": "default", "namespace": target.namespace}}
            self.super.create(SERVICE_ACCOUNTS, late)
            why = 'error looking up service account default: serviceaccount "default" not found'
            raise forbidden("pods", target.name, why)
