"""The node agent's life, from top to bottom: start here."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from kube.client import Client
from kube.connection import CredentialSource
from kube.http2.transport import transport_for
from kube.resources import CONFIG_MAPS, PODS
from node_agent import metrics
from node_agent.authorities import Authorities
from node_agent.backend import KubeletBackend
from node_agent.kubelet import Kubelet
from node_agent.limits import Limits
from node_agent.pods import AskedPods, FollowedPods
from node_agent.server import Backend, Server
from node_agent.serving import listeners
from node_agent.settings import Settings
from node_agent.simulated import SimulatedBackend
from syncer.runtime.health import health_server
from syncer.runtime.informer import Informer
from vcluster import api

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 5.0


class App:
    """Everything that runs in one node agent."""

    def __init__(self, settings: Settings, credentials: CredentialSource) -> None:
        self._settings = settings
        self._client = Client(transport_for(credentials), REQUEST_SECONDS)
        self._authorities = Authorities()
        # The name in a field selector is what rights can be bound to, in all namespaces at once.
        self._informers = [
            Informer(
                self._client,
                CONFIG_MAPS,
                self._authorities,
                field_selector=f"metadata.name={api.CLIENT_CA_CONFIG_MAP}",
            )
        ]
        self._more: list[Callable[[], Coroutine[None, None, None]]] = []
        """What else runs all the time."""
        self._limits = Limits(settings.connections, settings.tenant_connections)
        self._ports: list[int] = []
        backend = self._real(credentials) if settings.node else self._simulated()
        self._server = Server(settings, self._authorities, backend, self._limits, self.problems)

    async def run(self) -> None:
        """Serve tenants until cancelled."""
        settings = self._settings
        try:
            async with (
                health_server(
                    settings.health_address,
                    settings.health_port,
                    settings.port_file,
                    self.problems,
                    metrics.REGISTRY,
                    self._refresh_metrics,
                ),
                asyncio.TaskGroup() as tasks,
            ):
                for work in (*(informer.run for informer in self._informers), *self._more):
                    tasks.create_task(work())
                with listeners(settings) as sockets:
                    self._ports = [one.getsockname()[1] for one in sockets]
                    log.info("serving", address=settings.address, ports=self._ports)
                    await self._server.run(sockets)
        finally:
            await self._client.close()

    def _real(self, credentials: CredentialSource) -> Backend:
        pods = FollowedPods()
        self._informers.append(
            Informer(
                self._client,
                PODS,
                pods,
                label_selector=api.TENANT_LABEL,
                field_selector=f"spec.nodeName={self._settings.node}",
                metadata_only=True,
            )
        )
        kubelet = Kubelet(self._settings, credentials)
        self._more.append(kubelet.keep_spare)
        return KubeletBackend(kubelet, pods, self._limits, self._settings.node)

    def _simulated(self) -> Backend:
        return SimulatedBackend(AskedPods(self._client))

    @property
    def ports(self) -> list[int]:
        """Where tenants' API servers are served; none until then."""
        return self._ports

    def problems(self) -> list[str]:
        """Why it cannot serve yet, in words; empty: it can."""
        if all(informer.synced.is_set() for informer in self._informers):
            return []
        return ["the node agent does not know the super cluster's pods yet"]

    def _refresh_metrics(self) -> None:
        metrics.TENANTS.set(len(self._authorities))
        metrics.CONNECTIONS.clear()
        for tenant, count in self._limits.connections.items():
            metrics.CONNECTIONS.labels(tenant).set(count)
