"""Header blocks (HPACK, RFC 7541) without state.

We send literals only, and allow the server a dynamic table of no bytes. So each block can be read,
or passed over, by itself; and of most answers nothing but the first bytes, the status, is read.
"""

from collections.abc import Mapping
from typing import NamedTuple

from hpack import Decoder, HPACKError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from kube.http2.frames import Code, ProtocolError

_INDEXED = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
_STATUS_NAMES = {kind | index for kind in (0x00, 0x10, 0x40) for index in range(8, 15)}
"""A literal value follows, whose name is any of the static table's entries ``:status``."""
_METHODS = {"GET": b"\x82", "POST": b"\x83"}
_METHOD, _SCHEME_HTTPS, _AUTHORITY, _PATH = b"\x02", b"\x87", b"\x01", b"\x04"
_CONTENT_LENGTH = b"\x0f\x0d"
_NEVER_INDEXED = b"\x10"
_NOT_INDEXED = b"\x00"
_MOST_TEMPLATES = 64


class Head(NamedTuple):
    """What we want of an answer's headers."""

    status: int
    retry_after: str | None = None


def read_head(block: bytes) -> Head:
    """The status, and Retry-After if it may matter (429, 5xx). Raises ProtocolError."""
    start = 1 if block[:1] == b"\x20" else 0
    first = block[start] if len(block) > start else 0
    status = _INDEXED.get(first, 0)
    if not status and first in _STATUS_NAMES:
        value = block[start + 1 : start + 5]
        status = _LITERAL.get(value[:3]) or _LITERAL.get(value, 0)
    if not status or status == 429 or status >= 500:
        return _decoded(block)
    return Head(status)


def _decoded(block: bytes) -> Head:
    decoder = Decoder()
    decoder.max_allowed_table_size = 0
    decoder.header_table.maxsize = 0
    try:
        found = {bytes(field[0]): bytes(field[1]) for field in decoder.decode(block, raw=True)}
    except HPACKError as error:
        reason = f"headers that cannot be read: {type(error).__name__}"
        raise ProtocolError(Code.COMPRESSION_ERROR, reason) from error
    status = found.get(b":status", b"")
    if len(status) != 3 or not status.isdigit() or status < b"100":
        raise ProtocolError(Code.PROTOCOL_ERROR, "an answer without a status")
    retry_after = found.get(b"retry-after")
    return Head(int(status), retry_after.decode("latin-1") if retry_after is not None else None)


def _literal_statuses() -> dict[bytes, int]:
    """All ways to write the value of a status."""
    huffman = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
    found: dict[bytes, int] = {}
    for status in range(100, 600):
        plain = str(status).encode()
        packed = huffman.encode(plain)
        found[bytes([len(plain)]) + plain] = status
        found[bytes([0x80 | len(packed)]) + packed] = status
    return found


_LITERAL = _literal_statuses()


class RequestHeaders:
    """Writes the headers of requests to one server as one identity."""

    def __init__(self, authority: str, token: str) -> None:
        self._authority = _AUTHORITY + _text(authority.encode())
        self._always = _field("user-agent", "virtualcluster")
        if token:
            value = _text(f"Bearer {token}".encode())
            self._always += _NEVER_INDEXED + _text(b"authorization") + value
        self._templates: dict[tuple[object, ...], tuple[bytes, bytes]] = {}

    def block(self, method: str, target: str, headers: Mapping[str, str], size: int) -> bytes:
        """The header block of a request with a body of ``size`` bytes."""
        key = (method, *headers.items())
        template = self._templates.get(key)
        if template is None:
            template = self._template(method, headers)
            if len(self._templates) < _MOST_TEMPLATES:
                self._templates[key] = template
        before, after = template
        block = before + _text(target.encode()) + after
        return block + _CONTENT_LENGTH + _text(b"%d" % size) if size else block

    def _template(self, method: str, headers: Mapping[str, str]) -> tuple[bytes, bytes]:
        verb = _METHODS.get(method) or _METHOD + _text(method.encode())
        fields = b"".join(_field(name, value) for name, value in headers.items())
        return verb + _SCHEME_HTTPS + self._authority + _PATH, self._always + fields


def _field(name: str, value: str) -> bytes:
    return _NOT_INDEXED + _text(name.lower().encode()) + _text(value.encode())


def _text(value: bytes) -> bytes:
    size = len(value)
    if size < 0x7F:
        return bytes((size,)) + value
    prefix, size = bytearray((0x7F,)), size - 0x7F
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + value
