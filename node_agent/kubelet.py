"""The kubelet behind us: one connection for each request, as an identity of the super cluster."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from kube.connection import Credentials, CredentialSource
from node_agent.http1 import parse_response, read_head, request_head
from node_agent.settings import Settings
from node_agent.streams import Closed, TlsStream, prepare

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""For a report: the kubelet may have to ask its API server who we are."""
CALM_SECONDS = 1.0
"""So long at most a request that is being answered has both sides' CPU for itself."""
SPARE_SECONDS = 20.0
"""So long a connection is held ready for the next request; kubelets close theirs after 32 s."""


class KubeletFailed(Exception):
    """The kubelet does not answer as it should; the message is for the provider, not for tenants."""


class Kubelet:
    """Connections to one kubelet; its certificate is checked against the given authorities."""

    def __init__(self, settings: Settings, credentials: CredentialSource) -> None:
        self._endpoint = settings.kubelet_endpoint
        self._name = settings.kubelet_name or settings.node
        self._authorities = Path(settings.kubelet_ca)
        self._source = credentials
        self._stalled_seconds = settings.stalled_seconds
        self._used: tuple[Credentials, bytes] | None = None
        self._context: ssl.SSLContext | None = None
        self._spare: tuple[TlsStream, ssl.SSLContext] | None = None
        self._asked = asyncio.Event()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[TlsStream]:
        """An open connection for one request, closed in the end. Raises KubeletFailed."""
        stream = self._take_spare() or await self._open()
        try:
            yield stream
        finally:
            stream.close()

    @contextmanager
    def expecting_more(self) -> Iterator[None]:
        """While a request is answered: another one may follow, so get ready for it in the end.

        Not at once: a handshake costs us and the kubelet milliseconds that the command just begun needs.
        """
        loop = asyncio.get_running_loop()
        soon = loop.call_later(CALM_SECONDS, self._asked.set)
        try:
            yield
        finally:
            if loop.time() < soon.when():
                soon.cancel()
                self._asked.set()

    async def keep_spare(self) -> None:
        """While there are requests, have a connection ready for the next one; until cancelled.

        A handshake is a third of what the agent adds to the time of a request.
        """
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                with contextlib.suppress(KubeletFailed):  # whoever asks next will be told
                    stream = await self._open()
                    assert self._context is not None
                    self._spare = stream, self._context
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(SPARE_SECONDS):
                            await self._asked.wait()
                self._drop_spare()
        finally:
            self._drop_spare()

    def _take_spare(self) -> TlsStream | None:
        """The connection that is ready, if it still lives and was made as it would be now."""
        if self._spare is None:
            return None
        stream, context = self._spare
        try:
            good = context is self._current_context() and stream.is_silent()
        except (OSError, ValueError):
            good = False
        if not good:
            self._drop_spare()
            return None
        self._spare = None
        return stream

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare[0].close()
            self._spare = None

    async def _open(self) -> TlsStream:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                stream = await self._connect()
                try:
                    await stream.handshake()
                except BaseException:
                    stream.close()
                    raise
        except (OSError, ValueError, TimeoutError, Closed) as error:
            raise KubeletFailed(f"no connection: {error or type(error).__name__}") from error
        return stream

    @property
    def authorization(self) -> list[tuple[str, str]]:
        """The header that says who we are, where the certificate does not."""
        token = self._source.current().token
        return [("Authorization", f"Bearer {token}")] if token else []

    async def get(self, path: str, limit: int) -> bytes:
        """The whole body that the kubelet answers with. Raises KubeletFailed."""
        headers = [("Host", self._name), ("Accept", "*/*"), *self.authorization]
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self.connection() as stream:
                # HTTP/1.0: the body comes in one piece and ends with the connection.
                await stream.write(request_head("GET", path, "HTTP/1.0", headers))
                head, begin = await read_head(stream)
                response = parse_response(head)
                if response.status != 200:
                    raise KubeletFailed(f"{path}: status {response.status}")
                body = bytearray(begin)
                while piece := await stream.read():
                    body += piece
                    if len(body) > limit:
                        raise KubeletFailed(f"{path}: more than {limit} bytes")
                return bytes(body)
        except (Closed, TimeoutError) as error:
            raise KubeletFailed(f"{path}: {error or 'no whole answer in time'}") from error

    async def _connect(self) -> TlsStream:
        context = self._current_context()
        family = socket.AF_INET6 if ":" in self._endpoint[0] else socket.AF_INET
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            prepare(plain)
            await asyncio.get_running_loop().sock_connect(plain, self._endpoint)
            tls = context.wrap_socket(
                plain,
                server_hostname=self._name,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        except BaseException:
            plain.close()
            raise
        return TlsStream(tls, tls, self._stalled_seconds, lambda: _farewell(tls))

    def _current_context(self) -> ssl.SSLContext:
        """As our credentials and the kubelet's authorities are now."""
        wanted = (self._source.current(), self._authorities.read_bytes())
        if self._context is None or self._used is None or self._used != wanted:
            credentials, authorities = wanted
            for_kubelet = msgspec.structs.replace(
                credentials, server="https://kubelet", ca=authorities
            )
            self._context = for_kubelet.ssl_context()
            assert self._context is not None
            self._used = wanted
        return self._context


def _farewell(tls: ssl.SSLSocket) -> None:
    with contextlib.suppress(ssl.SSLError, OSError, ValueError):
        tls.unwrap()
