"""Lists with an object that is nested too deeply to be decoded: the others are read all the same.

An API server accepts JSON up to 10,000 levels deep (in custom resources); decoders that recurse do not.
"""

import re

MOST = 500
"""Levels of one object. Whatever is deeper is not read; nothing that people write comes near."""

_STRINGS_AND_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')
_ITEMS = b'"items"'
_IN_THE_LIST, _IN_ITEMS, _IN_AN_ITEM = 1, 2, 3


def without_deep_items(body: bytes) -> bytes:
    """The list without the items that are nested too deeply. The body is JSON, of whatever shape."""
    depth = deepest = start = items = 0
    kept: list[bytes] = []
    name = b""
    for found in _STRINGS_AND_BRACKETS.finditer(body):
        token = found[0]
        if token[0] == ord('"'):
            name = token if depth == _IN_THE_LIST else name
        elif token in (b"{", b"["):
            depth += 1
            deepest = max(deepest, depth)
            if depth == _IN_ITEMS and name == _ITEMS:
                items = found.end()
            elif depth == _IN_AN_ITEM and items:
                start, deepest = found.start(), depth
        else:
            depth -= 1
            if depth == _IN_ITEMS and items and deepest - _IN_ITEMS <= MOST:
                kept.append(body[start : found.end()])
            elif depth == _IN_THE_LIST and items:
                return body[:items] + b",".join(kept) + body[found.start() :]
    return body
