"""A socket for each tenant's API server, in the tenant's folder: who comes there is that tenant."""

import asyncio
import os
import socket
from collections import Counter
from http import HTTPStatus
from pathlib import Path

import structlog

from egress_proxy import metrics, tunnel
from egress_proxy.destinations import Denied, target_of
from egress_proxy.directory import Directory
from egress_proxy.tunnel import Broken
from kube.errors import ApiError, Unreachable
from vcluster import api

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.3
BACKLOG = 128
FIND_SECONDS = 10.0
"""API servers wait for our answer without a time-out of their own."""


class Server:
    """Serves the tenants that have a folder, as they come and go."""

    def __init__(self, tenants: Path, directory: Directory, most_connections: int) -> None:
        self._tenants = tenants
        self._directory = directory
        self._most = most_connections
        self._serving: dict[str, asyncio.Task[None]] = {}
        self.connections: Counter[str] = Counter()
        """Open ones, by tenant key."""

    def __len__(self) -> int:
        return len(self._serving)

    async def run(self) -> None:
        """Look for tenants until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                present = self._present()
                for key in [key for key in self._serving if key not in present]:
                    self._serving.pop(key).cancel()
                    self._directory.forget(key)
                for key in present - self._serving.keys():
                    if listener := self._listen(key):
                        self._serving[key] = tasks.create_task(self._accept(key, listener))
                await asyncio.sleep(LOOK_SECONDS)

    def _present(self) -> set[str]:
        """The tenants with a folder; one whose socket has vanished is served anew."""
        try:
            folders = {entry.name for entry in os.scandir(self._tenants) if entry.is_dir()}
        except FileNotFoundError:
            return set()
        return {
            key
            for key in folders
            if key not in self._serving or (self._tenants / key / api.EGRESS_SOCKET).exists()
        }

    def _listen(self, key: str) -> socket.socket | None:
        """A socket's whole path may be longer than the system takes: it is bound from its folder."""
        home = os.open(".", os.O_RDONLY)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.chdir(self._tenants / key)
            Path(api.EGRESS_SOCKET).unlink(missing_ok=True)
            listener.bind(api.EGRESS_SOCKET)
            os.chmod(api.EGRESS_SOCKET, 0o600)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            log.warning("tenant not served", tenant=key, reason=str(error))
            return None
        else:
            return listener
        finally:
            os.fchdir(home)
            os.close(home)

    async def _accept(self, key: str, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    try:
                        client, _ = await loop.sock_accept(listener)
                    except OSError as error:  # out of descriptors, or the client has gone already
                        log.warning("no connection accepted", tenant=key, reason=str(error))
                        await asyncio.sleep(0.1)
                        continue
                    tasks.create_task(self._serve(key, client))

    async def _serve(self, key: str, client: socket.socket) -> None:
        """One connection, from its first byte to its last; what goes wrong stays here."""
        self.connections[key] += 1
        with client:
            try:
                await self._tunnel(key, client)
            except Exception:
                log.exception("connection failed", tenant=key)
            finally:
                self.connections[key] -= 1
                if not self.connections[key]:
                    del self.connections[key]

    async def _tunnel(self, key: str, client: socket.socket) -> None:
        wanted = ""
        try:
            wanted = await tunnel.read_target(client)
            if self.connections[key] > self._most:
                raise Denied(f"{self._most} connections are open at once, no more")
            target = target_of(wanted)
            async with asyncio.timeout(FIND_SECONDS):
                targets = await self._directory.addresses(key, target)
            there = await tunnel.connected(targets)
        except (Denied, Broken, ApiError, Unreachable, TimeoutError) as error:
            await _refuse(client, key, wanted, error)
            return
        except OSError:
            return  # the API server has gone
        metrics.ASKED.labels("connected").inc()
        with there:
            try:
                await tunnel.answer(client, HTTPStatus.OK, "Connection established")
                await tunnel.splice(client, there, metrics.BYTES.inc)
            except OSError:
                return


async def _refuse(client: socket.socket, key: str, wanted: str, error: Exception) -> None:
    outcome, status, reason = "failed", HTTPStatus.BAD_GATEWAY, str(error)
    if isinstance(error, Denied):
        outcome, status = "denied", HTTPStatus.FORBIDDEN
    elif not isinstance(error, Broken):
        # What the super cluster says is not for tenants.
        outcome, status = "unknown", HTTPStatus.SERVICE_UNAVAILABLE
        log.error("super cluster failed", tenant=key, reason=reason)
        reason = "it cannot be found out at present what is there"
    metrics.ASKED.labels(outcome).inc()
    log.warning("refused", tenant=key, target=wanted, status=status.value, reason=reason)
    try:
        await tunnel.answer(client, status, reason)
    except OSError:
        return
