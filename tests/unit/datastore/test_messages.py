"""etcd's messages, as bytes that the real one sends (recorded) and as bytes that nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcluster.datastore.messages import (
    BrokenMessage,
    Changes,
    Messages,
    Page,
    Stored,
    changes,
    page,
    range_request,
    watch_request,
)

HEADER = b"\x0a\x09\x08\x01\x10\x02\x18\xac\x02\x20\x04"  # revision 300
KEY_VALUE = b"\x0a\x02/a\x10\x05\x18\x06\x20\x01\x2a\x03xyz\x40\x07"
DELETED = b"\x08\x01\x12\x06\x0a\x02/b\x18\x09"


def test_requests() -> None:
    assert range_request(b"/a/", b"/a0", 32, 300) == (
        b"\0\0\0\0\x0f\x0a\x03/a/\x12\x03/a0\x18\x20\x20\xac\x02"
    )
    assert watch_request(b"/a/", b"/a0", 301) == (
        b"\0\0\0\0\x11\x0a\x0f\x0a\x03/a/\x12\x03/a0\x18\xad\x02\x40\x01"
    )


def test_a_page() -> None:
    message = HEADER + b"\x12" + bytes([len(KEY_VALUE)]) + KEY_VALUE + b"\x18\x01\x20\x09"
    assert page(memoryview(message)) == Page(300, [Stored(b"/a", 5)], True)


def test_changes() -> None:
    put = b"\x12" + bytes([len(KEY_VALUE)]) + KEY_VALUE
    events = b"".join(b"\x5a" + bytes([len(event)]) + event for event in (put, DELETED))
    assert changes(memoryview(HEADER + events)) == Changes([Stored(b"/a", 5), Stored(b"/b", 0)], "")
    assert changes(memoryview(HEADER + b"\x20\x01\x32\x02no")).ended == "no"
    assert "compacted" in changes(memoryview(HEADER + b"\x20\x01\x28\x63")).ended


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 40))
def test_messages_are_put_together_from_any_pieces(sent: list[bytes], piece: int) -> None:
    data = b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in sent)
    arriving = Messages()
    found = [
        bytes(message)
        for start in range(0, len(data), piece)
        for message in arriving.feed(data[start : start + piece])
    ]
    assert found == sent


@given(st.binary(max_size=60))
def test_no_bytes_break_more_than_the_message(data: bytes) -> None:
    for decode in (page, changes):
        try:
            decode(memoryview(data))
        except BrokenMessage:
            pass


def test_compression_was_not_asked_for() -> None:
    with pytest.raises(BrokenMessage, match="compressed"):
        list(Messages().feed(b"\x01\0\0\0\0"))
