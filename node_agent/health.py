"""Serves /healthz, /readyz and /metrics, to the provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from prometheus_client import generate_latest

from node_agent import metrics
from node_agent.settings import Settings


@asynccontextmanager
async def health_server(
    settings: Settings, problems: Callable[[], list[str]], refresh: Callable[[], None]
) -> AsyncIterator[None]:
    """Serves until left; the port file, if one is wanted, holds the port by then."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        if found := problems():
            return web.Response(status=503, text="\n".join(found) + "\n")
        return web.Response(text="ok\n")

    async def scraped(_request: web.Request) -> web.Response:
        refresh()
        body = generate_latest(metrics.REGISTRY)
        return web.Response(body=body, content_type="text/plain", charset="utf-8")

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scraped)]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.health_address, settings.health_port)
        await site.start()
        if settings.port_file:
            file = Path(settings.port_file)
            new = file.with_name(f"{file.name}.new")
            new.write_text(f"{runner.addresses[0][1]}\n")
            new.replace(file)
        yield
    finally:
        await runner.cleanup()
