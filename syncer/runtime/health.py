"""Serves /healthz, /readyz and /metrics of a program, to the provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest


@asynccontextmanager
async def health_server(
    address: str,
    port: int,
    port_file: str,
    problems: Callable[[], list[str]],
    registry: CollectorRegistry,
    refresh: Callable[[], None] = lambda: None,
) -> AsyncIterator[int]:
    """Serves until left; gives the port, which the port file then holds too, if one is wanted.

    ``port`` 0 chooses a free one. ``problems`` says why the program is not ready, ``refresh`` is called
    before metrics are told.
    """

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        if found := problems():
            return web.Response(status=503, text="\n".join(found) + "\n")
        return web.Response(text="ok\n")

    async def scraped(_request: web.Request) -> web.Response:
        refresh()
        body = generate_latest(registry)
        return web.Response(body=body, content_type="text/plain", charset="utf-8")

    application = web.Application()
    application.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scraped)]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port)
        await site.start()
        chosen = int(runner.addresses[0][1])
        if port_file:
            file = Path(port_file)
            new = file.with_name(f"{file.name}.new")
            new.write_text(f"{chosen}\n")
            new.replace(file)
        yield chosen
    finally:
        await runner.cleanup()
