"""HTTP/2 frames (RFC 9113, sections 4 to 6) as bytes and back, without any I/O."""

import struct
from collections.abc import Iterator
from enum import IntEnum

(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS) = range(5)
(PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION) = range(5, 10)

ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
SMALLEST_FRAME_SIZE = 16_384
"""The size that every peer accepts; ours is never another."""
LARGEST_HEADER_BLOCK = 2**18

Frame = tuple[int, int, int, bytes]
"""Type, flags, stream identifier, payload."""

_HEAD = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")
_HEAD_SIZE = 9
_EXACT_SIZES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_OF_A_STREAM = {DATA, HEADERS, PRIORITY, RST_STREAM, CONTINUATION}
_OF_THE_CONNECTION = {SETTINGS, PING, GOAWAY}


class Code(IntEnum):
    """Why a stream or a connection ends (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ProtocolError(Exception):
    """The peer broke the rules in a way that ends the connection."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class FrameReader:
    """Finds the frames in a stream of bytes, however it is cut.

    A header block comes out as one HEADERS frame: continuations are joined; padding and priority are
    taken off. Sizes and stream identifiers are checked. Memory is bounded by one frame and one
    header block.
    """

    def __init__(self, largest: int = SMALLEST_FRAME_SIZE) -> None:
        self._largest = largest
        self._rest = b""
        self._block: list[bytes] = []
        self._block_size = 0
        self._block_flags = 0
        self._block_stream = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Raises ProtocolError; then nothing more may be fed."""
        if self._rest:
            data = self._rest + data
        start, size = 0, len(data)
        while size - start >= _HEAD_SIZE:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, start)
            length = high << 8 | low
            if length > self._largest:
                raise ProtocolError(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            end = start + _HEAD_SIZE + length
            if end > size:
                break
            payload = data[start + _HEAD_SIZE : end]
            start = end
            stream &= LARGEST_WINDOW
            if kind == DATA and stream and not self._block_stream:
                yield DATA, flags, stream, payload
            elif (frame := self._checked(kind, flags, stream, payload)) is not None:
                yield frame
        self._rest = data[start:]

    def _checked(self, kind: int, flags: int, stream: int, payload: bytes) -> Frame | None:
        if self._block_stream and (kind != CONTINUATION or stream != self._block_stream):
            raise ProtocolError(Code.PROTOCOL_ERROR, "a header block was interrupted")
        if (kind in _OF_A_STREAM and not stream) or (kind in _OF_THE_CONNECTION and stream):
            raise ProtocolError(Code.PROTOCOL_ERROR, f"a frame of type {kind} on stream {stream}")
        if len(payload) != _EXACT_SIZES.get(kind, len(payload)):
            message = f"a frame of type {kind} with {len(payload)} bytes"
            raise ProtocolError(Code.FRAME_SIZE_ERROR, message)
        if kind == HEADERS:
            payload = unpadded(flags, payload)
            if flags & HAS_PRIORITY:
                if len(payload) < 5:
                    raise ProtocolError(Code.FRAME_SIZE_ERROR, "a priority that is cut short")
                payload = payload[5:]
            self._block_stream, self._block_flags = stream, flags
        elif kind == CONTINUATION:
            if not self._block_stream:
                raise ProtocolError(Code.PROTOCOL_ERROR, "a continuation of nothing")
        else:
            return kind, flags, stream, payload
        return self._joined(flags, payload)

    def _joined(self, flags: int, payload: bytes) -> Frame | None:
        self._block.append(payload)
        # An empty continuation counts too: without end they would cost memory as well.
        self._block_size += len(payload) + 64
        if self._block_size > LARGEST_HEADER_BLOCK:
            raise ProtocolError(Code.ENHANCE_YOUR_CALM, "a header block without end")
        if not flags & END_HEADERS:
            return None
        frame = HEADERS, self._block_flags, self._block_stream, b"".join(self._block)
        self._block, self._block_size, self._block_stream = [], 0, 0
        return frame


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload of DATA or HEADERS without padding. Raises ProtocolError."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ProtocolError(Code.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """Identifiers and values, in their order. Raises ProtocolError for a value that is not allowed."""
    if len(payload) % _SETTING.size:
        raise ProtocolError(Code.FRAME_SIZE_ERROR, f"settings of {len(payload)} bytes")
    settings = list(_SETTING.iter_unpack(payload))
    for name, value in settings:
        if name == INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
            raise ProtocolError(Code.FLOW_CONTROL_ERROR, f"an initial window of {value}")
        if name == MAX_FRAME_SIZE and not SMALLEST_FRAME_SIZE <= value < 2**24:
            raise ProtocolError(Code.PROTOCOL_ERROR, f"a largest frame of {value}")
    return settings


def goaway_of(payload: bytes) -> tuple[int, int]:
    """The last stream that was worked on, and the error code. Raises ProtocolError."""
    if len(payload) < 8:
        raise ProtocolError(Code.FRAME_SIZE_ERROR, f"a GOAWAY of {len(payload)} bytes")
    return number_of(payload[:4]), int.from_bytes(payload[4:8], "big")


def number_of(payload: bytes) -> int:
    """31 bits: a stream identifier or a window's increment."""
    return int.from_bytes(payload, "big") & LARGEST_WINDOW


def code_name(code: int) -> str:
    """An error code as a person reads it."""
    try:
        return Code(code).name
    except ValueError:
        return f"code {code}"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame on the wire."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """Credit for a stream, or for the connection (stream 0)."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: Code) -> bytes:
    """The end of a stream."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(code: Code) -> bytes:
    """Our end of a connection; the server opens no streams, so the last one is 0."""
    return frame(GOAWAY, 0, 0, bytes(4) + code.to_bytes(4, "big"))


def headers(stream: int, block: bytes, largest: int, *, end_stream: bool) -> bytes:
    """A header block, in as many frames as the peer's largest frame wants."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= largest:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    parts = [block[start : start + largest] for start in range(0, len(block), largest)]
    frames = [frame(HEADERS, flags, stream, parts[0])]
    frames += [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
    frames.append(frame(CONTINUATION, END_HEADERS, stream, parts[-1]))
    return b"".join(frames)
