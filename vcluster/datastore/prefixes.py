"""Reads what a tenant keeps in the shared etcd: once as a whole, and then each change.

gRPC over our own HTTP/2 transport, as etcd's user root.
"""

from collections.abc import AsyncIterator, Callable, Sequence

from kube.connection import Credentials
from kube.transport import Transport
from vcluster.datastore import messages
from vcluster.datastore.limits import Share
from vcluster.datastore.messages import Messages, Page, Stored
from vcluster.datastore.shared import prefix, prefix_end

HEADERS = {"content-type": "application/grpc", "te": "trailers"}
REQUEST_SECONDS = 10.0
PAGE = 32
"""Objects of a page: at most 1.5 MiB each."""


class EtcdError(Exception):
    """etcd did not answer as asked."""


class AnyOf:
    """A kube.connection.CredentialSource: one endpoint, and another one when that fails."""

    def __init__(self, credentials: Callable[[], Sequence[Credentials]]) -> None:
        self._read = credentials
        self._known: Sequence[Credentials] = ()
        self._index = 0

    def current(self) -> Credentials:
        """Raises OSError if they cannot be read."""
        if not self._known:
            self._known = self._read()
        return self._known[self._index % len(self._known)]

    def another(self) -> None:
        """Go to the next one, if there are several."""
        self._index += 1


async def count(transport: Transport, key: str) -> tuple[Share, int]:
    """All of a tenant's share, and as of which revision."""
    share, revision, more = Share(), 0, True
    start, end = prefix(key).encode(), prefix_end(key).encode()
    while more:
        page = await _page(transport, messages.range_request(start, end, PAGE, revision))
        revision = revision or page.revision
        share.apply(page.stored)
        more = page.more
        if more:
            start = page.stored[-1].key + b"\0"
    return share, revision


async def _page(transport: Transport, request: bytes) -> Page:
    answer = await transport.request("POST", messages.RANGE, HEADERS, request, REQUEST_SECONDS)
    for message in Messages().feed(answer.body):
        return messages.page(message)
    raise EtcdError(f"etcd gives no answer to a range (HTTP status {answer.status})")


async def changes(transport: Transport, key: str, revision: int) -> AsyncIterator[list[Stored]]:
    """What is stored and deleted from a revision on, as much at a time as has come.

    Raises EtcdError when etcd ends it.
    """
    start, end = prefix(key).encode(), prefix_end(key).encode()
    request = messages.watch_request(start, end, revision)
    arriving = Messages()
    async with transport.stream(messages.WATCH, HEADERS, REQUEST_SECONDS, body=request) as stream:
        async for chunk in stream.chunks():
            stored: list[Stored] = []
            for message in arriving.feed(chunk):
                found = messages.changes(message)
                if found.ended:
                    raise EtcdError(f"the watch has ended: {found.ended}")
                stored += found.stored
            if stored:
                yield stored
    raise EtcdError("the watch has ended")
