"""Frames and headers as values: any bytes, cut anywhere."""

import asyncio
from itertools import pairwise

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from kube.errors import Unreachable
from kube.http2 import frames
from kube.http2.frames import Frame, FrameReader, ProtocolError, frame
from kube.http2.headers import Head, RequestHeaders, read_head
from kube.http2.streams import Streams
from tests.unit.kube.http2.server import block

streams = st.integers(0, 5)
any_frames = st.builds(
    frame,
    st.integers(0, 11),
    st.integers(0, 255),
    streams,
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([block(200), block(429, retry_after="1"), bytes(4), bytes(8)]),
    ),
)
good_frames = st.one_of(
    st.builds(frame, st.just(frames.DATA), st.just(0), st.integers(1, 9), st.binary(max_size=99)),
    st.builds(frame, st.just(frames.PING), st.integers(0, 1), st.just(0), st.just(b"12345678")),
    st.builds(
        frames.headers,
        st.integers(1, 9),
        st.binary(min_size=1, max_size=99),
        st.integers(1, 50),
        end_stream=st.booleans(),
    ),
)


def read(*parts: bytes) -> tuple[list[Frame], str]:
    """The frames, and the error that ended them."""
    reader = FrameReader()
    found: list[Frame] = []
    try:
        for part in parts:
            found.extend(reader.feed(part))
    except ProtocolError as error:
        return found, str(error)
    return found, ""


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(marks)]


@given(st.lists(good_frames, max_size=8), st.lists(st.integers(0, 2000), max_size=20))
def test_frames_are_found_however_the_bytes_are_cut(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole, error = read(data)
    assert error == ""
    assert len(whole) == len(parts)
    assert read(*pieces(data, cuts)) == (whole, "")


@given(
    st.one_of(st.binary(max_size=300), st.lists(any_frames, max_size=8).map(b"".join)),
    st.lists(st.integers(0, 2000), max_size=20),
)
def test_any_bytes_have_one_meaning_or_are_refused(data: bytes, cuts: list[int]) -> None:
    assert read(*pieces(data, cuts)) == read(data)


@given(st.lists(any_frames, max_size=12))
async def test_no_frames_make_the_streams_fail_in_any_other_way(parts: list[bytes]) -> None:
    sent: list[bytes] = []
    table = Streams(sent.append, lambda: None)
    table.received(frames.settings({}))
    headers = RequestHeaders("server", "token").block("POST", "/", {}, 9)
    exchanges = [table.start(headers, b"some body", streamed=bool(n % 2)) for n in range(3)]
    reason = "the end"
    try:
        table.received(b"".join(parts))
    except ProtocolError as error:
        reason = str(error)
    table.lost(reason)
    for exchange in exchanges:
        try:
            async with asyncio.timeout(60):
                await exchange.wait()
        except Unreachable:
            assert not exchange.ended
        else:
            assert exchange.ended or exchange.streamed
            assert 200 <= exchange.status <= 999
    assert len(table) == 0


def test_a_header_block_without_end_is_refused() -> None:
    begin = frame(frames.HEADERS, 0, 1, b"x")
    found, error = read(begin, *[frame(frames.CONTINUATION, 0, 1)] * 10_000)
    assert found == []
    assert "without end" in error


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a frame of"),
        (frame(frames.DATA, 0, 0, b"x"), "on stream 0"),
        (frame(frames.SETTINGS, 0, 1), "on stream 1"),
        (frame(frames.PING, 0, 0, b"short"), "5 bytes"),
        (frame(frames.HEADERS, frames.PADDED, 1, b"\x09x"), "padding"),
        (frame(frames.HEADERS, 0, 1, b"x") + frame(frames.PING, 0, 0, bytes(8)), "interrupted"),
        (frame(frames.CONTINUATION, 4, 1, b"x"), "continuation"),
    ],
)
def test_what_breaks_the_rules_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    found, error = read(data)
    assert found == []
    assert reason in error


@pytest.mark.parametrize(
    "values", [{frames.INITIAL_WINDOW_SIZE: 2**31}, {frames.MAX_FRAME_SIZE: 100}]
)
def test_settings_out_of_range_are_refused(values: dict[int, int]) -> None:
    with pytest.raises(ProtocolError):
        frames.settings_of(frames.settings(values)[9:])


@pytest.mark.parametrize("huffman", [True, False])
def test_every_status_is_read_from_any_way_to_write_it(huffman: bool) -> None:
    for status in range(100, 600):
        encoder = Encoder()
        encoder.header_table_size = 0
        data = encoder.encode([(":status", str(status)), ("retry-after", "7")], huffman=huffman)
        retry_after = "7" if status == 429 or status >= 500 else None
        assert read_head(data) == Head(status, retry_after)
        assert read_head(b"\x20" + data).status == status
        for name in (0x08, 0x0E, 0x18, 0x1E, 0x48, 0x4E):  # Go takes the last of the same names
            assert read_head(bytes([name, 3]) + str(status).encode()).status == status


def test_the_status_of_a_creation_is_read_without_the_rest() -> None:
    from_a_real_server = bytes.fromhex("0e82100300861db2192b1a4f")  # cut: it cannot be decoded
    assert read_head(from_a_real_server) == Head(201)


@given(st.binary(max_size=60))
def test_headers_that_cannot_be_read_are_refused(data: bytes) -> None:
    try:
        head = read_head(data)
    except ProtocolError:
        return
    assert 100 <= head.status <= 999


@given(
    st.sampled_from(["GET", "POST", "PATCH", "DELETE"]),
    st.text("abcdef/?=&-", max_size=400),
    st.text("application/json;=", max_size=200),
    st.integers(0, 2**40),
)
def test_request_headers_say_what_was_meant(
    method: str, target: str, accept: str, size: int
) -> None:
    headers = RequestHeaders("127.0.0.1:6443", "a-token")
    for _ in range(2):  # the second time from the template
        fields = Decoder().decode(headers.block(method, target, {"Accept": accept}, size))
        assert {str(name): str(value) for name, value in fields} == {
            ":method": method,
            ":scheme": "https",
            ":authority": "127.0.0.1:6443",
            ":path": target,
            "user-agent": "virtualcluster",
            "authorization": "Bearer a-token",
            "accept": accept,
            **({"content-length": str(size)} if size else {}),
        }
