"""Serves /healthz, /readyz and /metrics."""

from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import generate_latest

from syncer import metrics

Check = Callable[[], list[str]]
"""What is not as it should be, in words; empty: all is well."""


class HealthServer:
    """``alive`` and ``ready`` are asked at each request; ``refresh`` brings gauges up to date."""

    def __init__(self, alive: Check, ready: Check, refresh: Callable[[], None]) -> None:
        self._alive, self._ready, self._refresh = alive, ready, refresh
        self._runner: web.AppRunner | None = None

    async def start(self, address: str, port: int, port_file: str) -> int:
        """Listen; the port that was chosen is returned and written to ``port_file``, if given."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port)
        await site.start()
        chosen = int(self._runner.addresses[0][1])
        if port_file:
            _write_port(Path(port_file), chosen)
        return chosen

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _answer(self._alive())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(self._ready())

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._refresh()
        body = generate_latest(metrics.REGISTRY)
        return web.Response(body=body, content_type="text/plain", charset="utf-8")


def _answer(problems: list[str]) -> web.Response:
    if problems:
        return web.Response(status=503, text="\n".join(problems) + "\n")
    return web.Response(text="ok\n")


def _write_port(path: Path, port: int) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(f"{port}\n")
    temporary.replace(path)
