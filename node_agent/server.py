"""Who asks, for what, and may it be? Connections carry one request after the other."""

import asyncio
import contextlib
import datetime
import socket
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

import structlog
from cryptography import x509

from node_agent import http1, metrics
from node_agent.authorities import Authorities
from node_agent.http1 import Refused, Request
from node_agent.limits import Limits
from node_agent.reviews import Reviews
from node_agent.routes import PodRequest, Report, route
from node_agent.serving import Reception, client_certificate
from node_agent.settings import Settings
from node_agent.streams import Closed, TlsStream
from node_agent.tokens import Unauthenticated, bearer, subresources

log = structlog.get_logger(__name__)

HANDSHAKE_SECONDS = 10.0
HEAD_SECONDS = 30.0
STRANGERS_AT_ONCE = 256
"""Connections that have not yet said who they are; the oldest makes room for the next."""
STRANGERS_HEAD = 16 * 1024
STRANGERS_SECONDS = 5.0


class Backend(Protocol):
    """Answers what is asked for; knows the tenant for certain."""

    async def answer(
        self, tenant: str, request: Request, wanted: PodRequest | Report, client: TlsStream
    ) -> bool:
        """Write the whole answer; whether the connection may carry another request.

        Raises Refused before the first byte of it, Closed any time.
        """


class Server:
    """Serves tenants' API servers until cancelled."""

    def __init__(
        self,
        settings: Settings,
        authorities: Authorities,
        backend: Backend,
        limits: Limits,
        problems: Callable[[], list[str]],
    ) -> None:
        self._settings = settings
        self._authorities = authorities
        self._backend = backend
        self._problems = problems
        self._reception = Reception(settings)
        self._limits = limits
        self._reviews = Reviews(settings.node)
        self._strangers: dict[asyncio.Task[None], None] = {}

    async def run(self, listeners: Sequence[socket.socket]) -> None:
        """Accept until cancelled, whichever port they come to; the connections end with us."""
        async with asyncio.TaskGroup() as tasks:
            for listener in listeners:
                tasks.create_task(self._accept(listener, tasks))

    async def _accept(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                plain, peer = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors, or the client has gone already
                log.warning("no connection accepted", reason=str(error))
                await asyncio.sleep(0.1)
                continue
            task = tasks.create_task(self._serve(plain, str(peer[0])))
            self._strangers[task] = None
            if len(self._strangers) > STRANGERS_AT_ONCE:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                oldest.cancel()

    async def _serve(self, plain: socket.socket, peer: str) -> None:
        """One connection, from its first byte to its last; what goes wrong stays here."""
        with plain:
            try:
                stream, connection = self._reception.receive(plain)
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    await stream.handshake()
                certificate = client_certificate(connection)
                # Simulated nodes have nothing to report.
                if certificate is None and self._settings.node:
                    await self._with_token(stream, peer)
                else:
                    await self._authenticated(stream, certificate, peer)
            except (Closed, TimeoutError, OSError) as error:
                metrics.BROKEN.inc()
                log.info("connection lost", peer=peer, reason=str(error) or "too slow")
            except Exception:
                log.exception("connection failed", peer=peer)
            finally:
                self._strangers.pop(_current_task(), None)

    async def _authenticated(
        self, stream: TlsStream, certificate: x509.Certificate | None, peer: str
    ) -> None:
        """The requests of a connection, one after the other."""
        try:
            tenant = self._authorities.tenant_of(certificate, _now())
            self._strangers.pop(_current_task(), None)
            with self._limits.connection(tenant):
                while await self._request(tenant, certificate, stream, peer):
                    if not await self._next(stream):
                        return
        except Unauthenticated as error:
            _log_refusal(HTTPStatus.UNAUTHORIZED, str(error), peer)
            await _turn_away(stream)
        except Refused as error:
            await _refuse(stream, error, peer, tenant)

    async def _request(
        self, tenant: str, certificate: x509.Certificate | None, stream: TlsStream, peer: str
    ) -> bool:
        """One request and its answer; whether another one may follow."""
        request: Request | None = None
        try:
            async with self._limits.head(tenant), asyncio.timeout(HEAD_SECONDS):
                request = await http1.read_request(stream)
            if request is None:
                return False
            self._check_still(tenant, certificate)
            wanted = route(request)
            if problems := self._problems():
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, problems[0])
            goes_on = await self._backend.answer(tenant, request, wanted, stream)
        except Refused as error:
            await _refuse(stream, error, peer, tenant, request.path[:200] if request else "")
            return False
        metrics.REQUESTS.labels(_kind(wanted), "ok").inc()
        if not goes_on:
            await stream.end()
        return goes_on

    def _check_still(self, tenant: str, certificate: x509.Certificate | None) -> None:
        """A certificate expires, and a tenant goes, while a connection is kept. Raises Refused."""
        try:
            if self._authorities.tenant_of(certificate, _now()) == tenant:
                return
        except Unauthenticated:
            pass
        raise Refused(HTTPStatus.UNAUTHORIZED, "Unauthorized")

    async def _next(self, stream: TlsStream) -> bool:
        """Wait for the next request, or the end; False if the client has been idle for too long."""
        try:
            async with asyncio.timeout(self._settings.idle_seconds):
                await stream.readable()
        except TimeoutError:
            return False
        return True

    async def _with_token(self, stream: TlsStream, peer: str) -> None:
        """One request of a tenant's service account: for reports, as metrics-server asks for them."""
        tenant, path = "", ""
        try:
            request = await _strangers_request(stream)
            token = bearer(request)
            tenant, issuer = self._authorities.issuer_of(token)
            path = request.path[:200]
            with self._limits.connection(tenant):
                self._strangers.pop(_current_task(), None)
                wanted = route(request)
                if not isinstance(wanted, Report):
                    raise Refused(HTTPStatus.FORBIDDEN, "pods are reached through the API server")
                await self._reviews.check(tenant, issuer, token, subresources(wanted))
                if problems := self._problems():
                    raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, problems[0])
                await self._backend.answer(tenant, request, wanted, stream)
                metrics.REQUESTS.labels(_kind(wanted), "ok").inc()
        except Unauthenticated as error:
            _log_refusal(HTTPStatus.UNAUTHORIZED, str(error), peer, tenant, path)
            await stream.write(http1.failure(HTTPStatus.UNAUTHORIZED, "Unauthorized"))
        except Refused as error:
            await _refuse(stream, error, peer, tenant, path)
            return
        await stream.end()


async def _refuse(
    stream: TlsStream, error: Refused, peer: str, tenant: str, path: str = ""
) -> None:
    _log_refusal(error.status, error.message, peer, tenant, path)
    await stream.write(http1.failure(error.status, error.message))
    await stream.end()


async def _strangers_request(stream: TlsStream) -> Request:
    """What somebody without a certificate asks. Raises Closed, Unauthenticated."""
    try:
        async with asyncio.timeout(STRANGERS_SECONDS):
            head, _ = await http1.read_head(stream, STRANGERS_HEAD)
        return http1.parse_request(head)
    except (Refused, TimeoutError) as error:
        raise Unauthenticated("no client certificate, and no request either") from error


async def _turn_away(stream: TlsStream) -> None:
    """Answer a stranger. Of its request no more is read than clients need to take the answer."""
    with contextlib.suppress(Refused, TimeoutError):
        async with asyncio.timeout(STRANGERS_SECONDS):
            await http1.read_head(stream, STRANGERS_HEAD)
    await stream.write(http1.failure(HTTPStatus.UNAUTHORIZED, "Unauthorized"))
    await stream.end()


def _log_refusal(
    status: HTTPStatus, reason: str, peer: str, tenant: str = "", path: str = ""
) -> None:
    """Once for each refusal, without the query (commands may hold secrets) and without headers."""
    metrics.REFUSED.labels(str(status.value)).inc()
    fields = {"tenant": tenant, "path": path} if tenant else {}
    log.warning("refused", status=status.value, reason=reason, peer=peer, **fields)


def _kind(wanted: PodRequest | Report) -> str:
    return wanted.verb.value if isinstance(wanted, PodRequest) else wanted.value


def _current_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
