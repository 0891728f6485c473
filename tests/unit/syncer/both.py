"""Both API servers, and what a syncer that does not run by itself knows of them."""

from kube.objects import Object, ObjectKey
from kube.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS
from syncer.admission.grants import AlwaysOurs
from syncer.kinds import downward_kinds, upward_kinds
from syncer.kinds.pod_volumes import token_secret_name
from syncer.reconcilers import tokens
from syncer.runtime.workqueue import WorkQueue
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from tests.builders import a_namespace, a_pod, a_tenant
from tests.conftest import client_of
from tests.fakes.apiserver import FakeApiServer
from vcluster import api
from vcluster.api import Tenant

ACME: Tenant = a_tenant("acme")
NAMESPACE = api.super_namespace(ACME.key, "default")


class Both:
    """Both API servers, and what the syncer knows of them."""

    def __init__(self) -> None:
        self.tenant, self.super = FakeApiServer(), FakeApiServer()

    async def start(self) -> None:
        for server in (self.tenant, self.super):
            await server.start()
        self.clients = client_of(self.tenant), client_of(self.super, timeout=1.0)
        queues = WorkQueue(4), WorkQueue(4)
        self.super_state = SuperState(
            self.clients[1],
            *queues,
            downward_kinds([]),
            upward_kinds(api.NODE_AGENT_PORT),
            AlwaysOurs(),
        )
        self.state = TenantState(ACME, self.clients[0], self.super_state)
        self.super_state.tenants[ACME.key] = self.state
        self.super.create(NAMESPACES, a_namespace(NAMESPACE))
        account = {"metadata": {"name": "default", "namespace": "default"}}
        self.tenant.create(SERVICE_ACCOUNTS, account)

    async def stop(self) -> None:
        for client in self.clients:
            await client.close()
        for server in (self.tenant, self.super):
            await server.stop()

    def a_pod(self, *sources: Object) -> Object:
        volume = {"name": "v", "projected": {"sources": list(sources)}}
        return self.tenant.create(PODS, a_pod(volumes=[volume]))

    async def provide(self, pod: Object) -> ObjectKey:
        """Give the pod its tokens; where they are."""
        await tokens.provide(self.super_state, self.state, pod)
        return ObjectKey(NAMESPACE, token_secret_name(pod["metadata"]["uid"]))
