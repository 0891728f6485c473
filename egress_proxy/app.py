"""The egress proxy's life, from top to bottom: start here."""

import asyncio

import structlog

from egress_proxy import metrics
from egress_proxy.directory import Directory, NodeAgents
from egress_proxy.server import Server
from egress_proxy.settings import Settings
from kube.client import Client
from kube.connection import CredentialSource
from kube.http2.transport import transport_for
from kube.resources import NODES
from syncer.runtime.health import health_server
from syncer.runtime.informer import Informer

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 5.0


class App:
    """Everything that runs in one egress proxy."""

    def __init__(self, settings: Settings, credentials: CredentialSource) -> None:
        self._settings = settings
        self._client = Client(transport_for(credentials), REQUEST_SECONDS)
        agents = NodeAgents(settings.node_agent_port)
        self._nodes = Informer(self._client, NODES, agents)
        directory = Directory(self._client, agents, settings.allowed, settings.denied)
        self._server = Server(settings.tenants, directory, settings.connections)

    async def run(self) -> None:
        """Serve tenants' API servers until cancelled."""
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
                tasks.create_task(self._nodes.run())
                log.info("serving", tenants=settings.tenants_directory)
                await self._server.run()
        finally:
            await self._client.close()

    def problems(self) -> list[str]:
        """Why it cannot serve all yet, in words; empty: it can."""
        if self._nodes.synced.is_set():
            return []
        return ["the egress proxy does not know the super cluster's nodes yet"]

    def _refresh_metrics(self) -> None:
        metrics.TENANTS.set(len(self._server))
        metrics.CONNECTIONS.clear()
        for tenant, count in self._server.connections.items():
            metrics.CONNECTIONS.labels(tenant).set(count)
