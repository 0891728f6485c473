"""Heads of HTTP/1.1 messages, read as strictly as may be: who is lenient here can be lied to."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from node_agent.streams import Closed, TlsStream

LARGEST_HEAD = 256 * 1024
"""The command of an exec is part of it."""
LARGEST_ERROR = 64 * 1024
END = b"\r\n\r\n"
NO_BODY = b"0\r\n\r\n"
"""The last chunk, which is also all of an empty body."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"/[!-~]*")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")

ONCE = frozenset({"host", "upgrade", "content-length", "transfer-encoding", "sec-websocket-key"})
"""Two of them would be two messages: one for us, another one for the kubelet."""


class Refused(Exception):
    """The request is answered with an error; the message is for the client, the tenant's own."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request without a body."""

    method: str
    path: str
    query: str
    """As it was sent, without the question mark."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""

    @property
    def upgrade(self) -> str:
        """The protocol that the client wants to go on with, in lower case; empty: none."""
        return dict(self.headers).get("upgrade", "").lower() if self._says("upgrade") else ""

    @property
    def is_last(self) -> bool:
        """Whether the client will send no other one on its connection."""
        return self._says("close")

    def _says(self, option: str) -> bool:
        options = dict(self.headers).get("connection", "").lower().split(",")
        return option in (one.strip() for one in options)


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response, and the bytes that it came as."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def length(self) -> int | None:
        """Of its body, in bytes, if it was told."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdecimal() else None

    @property
    def is_chunked(self) -> bool:
        """Whether the end of its body can be seen."""
        return "chunked" in self.headers.get("transfer-encoding", "").lower()

    @property
    def lasting(self) -> bytes:
        """The head for a connection that goes on, though that of the kubelet ends."""
        status, *fields = self.raw.split(b"\r\n")
        kept = [f for f in fields if f.partition(b":")[0].lower() != b"connection"]
        return b"\r\n".join([status, *kept])


async def read_head(stream: TlsStream, limit: int = LARGEST_HEAD) -> tuple[bytes, bytes]:
    """A head, and what came with it. Raises Closed, Refused if it is longer than ``limit``."""
    data = bytearray()
    while (end := data.find(END)) < 0 and len(data) <= limit:
        piece = await stream.read()
        if not piece:
            raise Closed("ended before the head of a message was whole")
        data += piece
    if not 0 <= end <= limit:
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"the head of the request is longer than {limit} bytes",
        )
    end += len(END)
    return bytes(data[:end]), bytes(data[end:])


async def read_request(stream: TlsStream) -> Request | None:
    """A request, which may have a body of no bytes; None if the client has ended the connection.

    Nothing may follow it before it is answered. Raises Closed, Refused.
    """
    first = await stream.read()
    if not first:
        return None
    stream.unread(first)
    head, more = await read_head(stream)
    request = parse_request(head)
    if coding := dict(request.headers).get("transfer-encoding", ""):
        # How API servers pass on a POST whose length they do not know.
        while coding == "chunked" and len(more) < len(NO_BODY) and NO_BODY.startswith(more):
            piece = await stream.read()
            if not piece:
                raise Closed("ended before the body of a request")
            more += piece
        if coding != "chunked" or not more.startswith(NO_BODY):
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "no request here has a body")
        more = more.removeprefix(NO_BODY)
    if more:
        # An upgrade that fails must not turn what follows it into a request of ours.
        raise _malformed("there is more behind the request")
    return request


def parse_request(head: bytes) -> Request:
    """Raises Refused."""
    line, *fields = head[: -len(END)].split(b"\r\n")
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or parts[2] != b"HTTP/1.1":
        raise _malformed("the request line is not that of an HTTP/1.1 request")
    if not _TARGET.fullmatch(parts[1]) or b"#" in parts[1]:
        raise _malformed("the target of the request is not a path")
    headers = tuple(_headers(fields))
    names = [name for name, _ in headers]
    if any(names.count(name) > 1 for name in ONCE):
        raise _malformed("a header that may be there once is there twice")
    if dict(headers).get("content-length", "0") != "0":
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "no request here has a body")
    path, _, query = parts[1].decode("ascii").partition("?")
    return Request(parts[0].decode("ascii"), path, query, headers)


def parse_response(head: bytes) -> Response:
    """Raises Closed: who answers so is no kubelet."""
    line, *fields = head[: -len(END)].split(b"\r\n")
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise Closed("the kubelet's answer is not HTTP/1.1")
    try:
        return Response(int(found[1]), dict(_headers(fields)), head)
    except Refused as error:
        raise Closed(f"the kubelet's answer: {error}") from error


def request_head(
    method: str, target: str, version: str, headers: Iterable[tuple[str, str]]
) -> bytes:
    """The bytes of a head of ours."""
    lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(
    status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8"
) -> bytes:
    """A whole response, the last one of its connection."""
    head = answer_head(status, content_type, f"Content-Length: {len(body)}")
    return head + body


def answer_head(status: HTTPStatus, content_type: str, *more: str) -> bytes:
    """The head of a response; its body ends with the connection unless ``more`` says otherwise."""
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def failure(status: HTTPStatus, message: str) -> bytes:
    """A whole response that says what is wrong, as kubelets do: API servers pass the text on."""
    return answer(status, f"{message}\n".encode())


async def read_error(response: Response, stream: TlsStream, begin: bytes) -> bytes:
    """The small body of an error, without its framing; cut off at LARGEST_ERROR. Raises Closed."""
    data = bytearray(begin)
    wanted, chunked = response.length, response.is_chunked
    while len(data) < LARGEST_ERROR:
        if (wanted is not None and len(data) >= wanted) or (chunked and data.endswith(b"0" + END)):
            break
        piece = await stream.read()
        if not piece:
            break
        data += piece
    body = bytes(data[:LARGEST_ERROR])
    return _without_chunks(body) if chunked else body[:wanted]


def _without_chunks(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        try:
            length = int(size.split(b";")[0], 16)
        except ValueError:
            break
        if not length:
            break
        body += data[:length]
        data = data[length + 2 :]
    return body


def _headers(fields: Iterable[bytes]) -> Iterable[tuple[str, str]]:
    for field in fields:
        name, colon, value = field.partition(b":")
        value = value.strip(b" \t")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _malformed("a header is not well-formed")
        yield name.decode("ascii").lower(), value.decode("latin-1")


def _malformed(message: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, message)
