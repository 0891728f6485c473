"""Serves /healthz (the event loop turns), /readyz (kopf runs, and we can list tenants), /metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.resources import VIRTUAL_CLUSTERS
from vcluster.datastore.shares import Shares
from vcluster.operator.metrics import exposition
from vcluster.operator.settings import Settings
from vcluster.provisioners import files

PROBED = VIRTUAL_CLUSTERS.path() + "?limit=1"


@asynccontextmanager
async def health_server(
    settings: Settings, cluster: Cluster, shares: Shares, started: asyncio.Event
) -> AsyncIterator[int]:
    """Serves until left; gives the port, which the port file then holds too."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        if not started.is_set():
            return web.Response(status=503, text="the handlers are not registered yet\n")
        ready, answer = await asyncio.to_thread(cluster.probe, PROBED)
        if not ready:
            return web.Response(status=503, text=f"cannot list tenants: {answer}\n")
        return web.Response(text="ok\n")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=exposition(shares.readings()))

    application = web.Application()
    routes = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
    application.add_routes([web.get(path, handler) for path, handler in routes.items()])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.address, settings.port)
        await site.start()
        port = int(runner.addresses[0][1])
        if settings.port_file:
            await asyncio.to_thread(files.write, Path(settings.port_file), f"{port}\n".encode())
        yield port
    finally:
        await runner.cleanup()
