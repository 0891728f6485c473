"""The one seam to HTTP: requests in, bytes out; and HTTP/1.1 by aiohttp, the fallback of kube.http2."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from kube.connection import Credentials, CredentialSource
from kube.errors import Unreachable

LARGE_BODY = 1 << 20
"""aiohttp warns of more bytes at once: they might lock the event loop."""


class Response(NamedTuple):
    """An answer, read to its end."""

    status: int
    retry_after: str | None
    body: bytes


class Stream(Protocol):
    """An answer that goes on: the status first, then chunks of bytes as they come."""

    status: int

    def chunks(self) -> AsyncIterator[bytes]:
        """Ends when the server ends; raises Unreachable when the connection breaks or is silent."""

    async def read(self) -> bytes:
        """The rest, for an error's body; raises Unreachable, after the stream's time-out too."""


class Transport(Protocol):
    """Carries requests to one API server as one identity."""

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        """One request, at most ``timeout`` seconds from start to end. Raises Unreachable."""

    def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        timeout: float,
        silence: float | None = None,
        body: bytes = b"",
    ) -> AbstractAsyncContextManager[Stream]:
        """A GET, or with a body a POST, whose answer is streamed.

        ``timeout`` bounds the time to its first byte, ``silence`` that between its chunks (seconds).
        """

    async def close(self) -> None:
        """Drop all connections."""


class _AiohttpStream:
    def __init__(
        self, response: aiohttp.ClientResponse, timeout: float, silence: float | None
    ) -> None:
        self._response = response
        self._timeout = timeout
        self._silence = silence
        self.status = response.status

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                async with asyncio.timeout(self._silence):
                    chunk = await self._response.content.readany()
                if not chunk:
                    return
                yield chunk
        except TimeoutError as error:
            raise silent(self._silence) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"the stream broke: {type(error).__name__}") from error

    async def read(self) -> bytes:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._response.read()
        except TimeoutError as error:
            raise Unreachable(f"no whole answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"the answer broke off: {type(error).__name__}") from error


class AiohttpTransport:
    """HTTP/1.1 over a pool of kept connections."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source
        self._credentials: Credentials | None = None
        self._session: aiohttp.ClientSession | None = None
        self._base = ""
        self._ssl: ssl.SSLContext | bool = False
        self._name: str | None = None
        self._headers: dict[str, str] = {}
        self._closing: list[aiohttp.ClientSession] = []

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Response:
        """See Transport."""
        session = self._current()
        try:
            async with asyncio.timeout(timeout):
                for last_try in (False, True):
                    if session.closed:
                        raise Unreachable("the client is closed")
                    try:
                        return await self._once(session, method, target, headers, body)
                    except aiohttp.ServerDisconnectedError:
                        # A kept connection that the server closed meanwhile. Writes carry
                        # preconditions or are repeatable, so one more try is safe.
                        if last_try:
                            raise
        except TimeoutError as error:
            raise Unreachable(f"no answer within {timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}"[:300]) from error
        raise AssertionError("unreachable")

    async def _once(
        self,
        session: aiohttp.ClientSession,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Response:
        async with session.request(
            method,
            URL(self._base + target, encoded=True),
            data=BytesIO(body) if len(body) > LARGE_BODY else body or None,
            headers={**self._headers, **headers},
            ssl=self._ssl,
            server_hostname=self._name,
        ) as response:
            data = await response.read()
            return Response(response.status, response.headers.get("Retry-After"), data)

    @asynccontextmanager
    async def stream(
        self,
        target: str,
        headers: Mapping[str, str],
        timeout: float,
        silence: float | None = None,
        body: bytes = b"",
    ) -> AsyncIterator[Stream]:
        """See Transport."""
        session = self._current()
        url = URL(self._base + target, encoded=True)
        try:
            async with asyncio.timeout(timeout):
                response = await session.request(
                    "POST" if body else "GET",
                    url,
                    data=body or None,
                    headers={**self._headers, **headers},
                    ssl=self._ssl,
                    server_hostname=self._name,
                )
        except TimeoutError as error:
            raise Unreachable(f"no answer within {timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}"[:300]) from error
        try:
            yield _AiohttpStream(response, timeout, silence)
        finally:
            response.close()

    async def close(self) -> None:
        """See Transport."""
        sessions = [*self._closing, *([self._session] if self._session else [])]
        self._closing, self._session, self._credentials = [], None, None
        for session in sessions:
            await session.close()

    def _current(self) -> aiohttp.ClientSession:
        try:
            credentials = self._source.current()
        except OSError as error:
            raise Unreachable(f"credentials cannot be read: {error.strerror}") from error
        if self._session is None or credentials is not self._credentials:
            try:
                context = credentials.ssl_context()
            except (OSError, ValueError) as error:  # a key that does not belong to the certificate
                reason = f"credentials cannot be used: {type(error).__name__}"
                raise Unreachable(reason) from error
            if self._session is not None:
                self._closing.append(self._session)  # requests under way end on the old identity
            self._credentials = credentials
            self._base = credentials.server
            self._ssl = context or False
            self._name = credentials.name or None
            self._headers = {"User-Agent": "virtualcluster"}
            if credentials.token:
                self._headers["Authorization"] = f"Bearer {credentials.token}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding", "Content-Type"),
                timeout=aiohttp.ClientTimeout(),
                read_bufsize=2**16,
            )
        return self._session


def silent(seconds: float | None) -> Unreachable:
    """Nothing came for so long that the connection is taken for dead."""
    return Unreachable(f"the server was silent for {seconds:g} s")


def server_name(credentials: Credentials) -> str:
    """Host and port, for logs."""
    return urlsplit(credentials.server).netloc
