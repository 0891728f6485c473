"""etcd's messages (etcdserverpb/rpc.proto, mvccpb/kv.proto) as bytes, as far as sizes need them. Pure.

Written by hand: a gRPC library would cost the operator 15 MiB for two calls. Of an object only its key
and its size are taken; the value is passed over.
"""

from collections.abc import Iterator
from typing import NamedTuple

RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_HEADER_SIZE = 5
_DELETED = 1


class BrokenMessage(Exception):
    """These bytes are not what etcd sends."""


class Stored(NamedTuple):
    """One key as it is now."""

    key: bytes
    size: int
    """Bytes of key and value; 0: it is deleted."""


class Page(NamedTuple):
    """A part of a range."""

    revision: int
    stored: list[Stored]
    more: bool


class Changes(NamedTuple):
    """What a watch tells."""

    stored: list[Stored]
    ended: str
    """Why the watch has ended; empty: it goes on."""


def range_request(start: bytes, end: bytes, limit: int, revision: int) -> bytes:
    """Keys from ``start`` to before ``end``, as of a revision; 0: as of now."""
    return _framed(_bytes(1, start) + _bytes(2, end) + _number(3, limit) + _number(4, revision))


def watch_request(start: bytes, end: bytes, revision: int) -> bytes:
    """Every change of the keys from that revision on, in messages of bounded size."""
    created = _bytes(1, start) + _bytes(2, end) + _number(3, revision) + _number(8, 1)
    return _framed(_bytes(1, created))


def page(message: memoryview) -> Page:
    """A RangeResponse."""
    revision, more, stored = 0, False, []
    for field, value in _fields(message):
        if field == 1:
            found = dict(_fields(_view(value))).get(3, 0)
            revision = found if isinstance(found, int) else 0
        elif field == 2:
            stored.append(_stored(_view(value)))
        elif field == 3:
            more = bool(value)
    return Page(revision, stored, more)


def changes(message: memoryview) -> Changes:
    """A WatchResponse."""
    stored, cancelled, compacted, reason = [], False, False, ""
    for field, value in _fields(message):
        if field == 4:
            cancelled = bool(value)
        elif field == 5:
            compacted = bool(value)
        elif field == 6:
            reason = bytes(_view(value)).decode(errors="replace")
        elif field == 11:
            stored.append(_event(_view(value)))
    if compacted:
        return Changes(stored, "the revision is compacted")
    return Changes(stored, (reason or "cancelled") if cancelled else "")


class Messages:
    """Puts the messages of a gRPC answer together from pieces."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._wanted = _HEADER_SIZE

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """The messages that are complete. Raises BrokenMessage."""
        self._data += data
        if len(self._data) < self._wanted:
            return
        whole = memoryview(bytes(self._data))
        start, self._wanted = 0, _HEADER_SIZE
        while len(whole) - start >= _HEADER_SIZE:
            if whole[start]:
                raise BrokenMessage("compressed, which was not asked for")
            size = _HEADER_SIZE + int.from_bytes(whole[start + 1 : start + 5], "big")
            if start + size > len(whole):
                self._wanted = size
                break
            yield whole[start + _HEADER_SIZE : start + size]
            start += size
        del self._data[:start]


def _event(message: memoryview) -> Stored:
    found = dict(_fields(message))
    stored = _stored(_view(found.get(2, memoryview(b""))))
    return Stored(stored.key, 0) if found.get(1) == _DELETED else stored


def _stored(message: memoryview) -> Stored:
    found = dict(_fields(message))
    key, value = _view(found.get(1, memoryview(b""))), _view(found.get(5, memoryview(b"")))
    return Stored(bytes(key), len(key) + len(value))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values; what is not needed is passed over. Raises BrokenMessage."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            number, at = _varint(message, at)
            yield tag >> 3, number
            continue
        size, at = (_FIXED[kind], at) if kind in _FIXED else _varint(message, at)
        if kind not in (_BYTES, *_FIXED) or at + size > len(message):
            raise BrokenMessage("a field that does not fit")
        if kind == _BYTES:
            yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise BrokenMessage("a number that does not end")


def _view(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise BrokenMessage("a number where a text belongs")
    return value


def _number(field: int, value: int) -> bytes:
    return _packed(field << 3 | _VARINT) + _packed(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _packed(field << 3 | _BYTES) + _packed(len(value)) + value


def _packed(number: int) -> bytes:
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message
