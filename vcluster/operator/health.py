"""Serves /healthz (the event loop turns) and /readyz (kopf runs, and we can list tenants)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.resources import VIRTUAL_CLUSTERS
from vcluster.operator.settings import Settings
from vcluster.provisioners import files

PROBED = VIRTUAL_CLUSTERS.path() + "?limit=1"


@asynccontextmanager
async def health_server(
    settings: Settings, cluster: Cluster, started: asyncio.Event
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

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
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
