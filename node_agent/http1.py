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

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(rb"/[!-~]*")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")

ONCE = frozenset({"host", "upgrade", "content-length", "sec-websocket-key"})
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
        values = dict(self.headers)
        connection = values.get("connection", "").lower()
        wanted = "upgrade" in (token.strip() for token in connection.split(","))
        return values.get("upgrade", "").lower() if wanted else ""


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response, and the bytes that it came as."""

    status: int
    headers: Mapping[str, str]
    raw: bytes


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
    if "transfer-encoding" in names or dict(headers).get("content-length", "0") != "0":
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
    length = response.headers.get("content-length", "")
    wanted = int(length) if length.isdecimal() else None
    chunked = "chunked" in response.headers.get("transfer-encoding", "").lower()
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
