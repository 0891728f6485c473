"""A lossless Kubernetes client on raw bytes.

Objects go in and out as the bytes that the API server sends: a field that we do not know survives.
Nothing is cached and nothing is retried, with one exception: the server's own request to come later
(429, or 503 with Retry-After), which it makes before it has done anything.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from enum import StrEnum
from urllib.parse import urlencode

import msgspec

from kube.depth import without_deep_items
from kube.errors import ApiError, Gone, ServerError, TooManyRequests, Unreachable, error_from
from kube.objects import ObjectKey, ObjectList, WatchEvent, decode_list, decode_watch_event, encode
from kube.resources import Resource
from kube.transport import Response, Transport

_JSON = "application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

RETRIES_WHEN_BUSY = 4
LONGEST_WAIT = 5.0
WATCH_SECONDS = 290
"""The server is asked to end a watch after this time, so that connections spread over servers."""
WATCH_SILENCE = 150.0
"""Bookmarks come every 60 to 75 s on a server that is not busy: after this silence the connection
is taken for dead."""
LARGEST_LINE = 8 * 2**20
FIELD_MANAGER = "virtualcluster"


class Patch(StrEnum):
    """How a patch's body is to be understood."""

    MERGE = "application/merge-patch+json"
    JSON = "application/json-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class Client:
    """Requests to one API server. Errors are those of kube.errors.

    ``timeout`` is for one request, in seconds. ``observe`` is told of each request whether the server
    answered, with whatever status. ``longest_wait`` (seconds) bounds each wait for a busy server;
    after ``watch_silence`` seconds a watch is taken for dead. ``calls`` counts the
    requests sent, by verb and kind.
    """

    def __init__(
        self,
        transport: Transport,
        timeout: float = 5.0,
        observe: Callable[[bool], None] = lambda _answered: None,
        longest_wait: float = LONGEST_WAIT,
        watch_silence: float = WATCH_SILENCE,
    ) -> None:
        self._transport = transport
        self._timeout = timeout
        self._observe = observe
        self._longest_wait = longest_wait
        self._watch_silence = watch_silence
        self.calls: dict[tuple[str, str], int] = {}

    async def get(
        self, resource: Resource, key: ObjectKey, *, metadata_only: bool = False
    ) -> bytes:
        """One object."""
        accept = _METADATA if metadata_only else _JSON
        return await self._call("GET", resource, resource.path(*key), accept=accept)

    async def create(
        self, resource: Resource, key: ObjectKey, body: bytes, subresource: str = ""
    ) -> bytes:
        """Create an object, or POST to the subresource of one (binding, token)."""
        name = key.name if subresource else ""
        path = resource.path(key.namespace, name, subresource)
        return await self._write("POST", resource, path, body, _JSON)

    async def update(self, resource: Resource, key: ObjectKey, body: bytes) -> bytes:
        """Replace an object; the body's resourceVersion is the precondition."""
        return await self._write("PUT", resource, resource.path(*key), body, _JSON)

    async def patch(
        self, resource: Resource, key: ObjectKey, patch: Patch, body: bytes, subresource: str = ""
    ) -> bytes:
        """Change an object or a subresource of it; APPLY takes what others own by force."""
        target = resource.path(*key, subresource)
        if patch is Patch.APPLY:
            target += f"?fieldManager={FIELD_MANAGER}&force=true"
        return await self._write("PATCH", resource, target, body, patch)

    async def delete(
        self,
        resource: Resource,
        key: ObjectKey,
        *,
        uid: str,
        version: int | None = None,
        grace_period_seconds: int | None = None,
    ) -> bytes:
        """Delete the object that has this UID; another one of the same name raises Conflict.

        So does this one, if it is no longer of the ``version`` that is named.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": str(version)} if version else {})
        options: dict[str, object] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": "Background",
        }
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        return await self._write("DELETE", resource, resource.path(*key), encode(options), _JSON)

    async def ready(self) -> None:
        """Ask ``/readyz``; raises if the API server is not ready."""
        await self._checked("GET", "/readyz", {}, b"", 0)

    async def pages(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        metadata_only: bool = False,
    ) -> AsyncGenerator[ObjectList, None]:
        """A consistent list in pages; raises Gone if it expires on the way (start again)."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector, limit=limit)
        accept = _METADATA_LIST if metadata_only else _JSON
        token = ""
        while True:
            more = query | ({"continue": token} if token else {})
            target = f"{resource.path(namespace)}?{urlencode(more)}"
            body = await self._call("GET", resource, target, accept=accept, verb="LIST")
            page = _decoded_list(body)
            yield page
            token = page.metadata.continue_
            if not token:
                return

    async def watch(
        self,
        resource: Resource,
        resource_version: str,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[list[WatchEvent]]:
        """Events from a version on, as many at a time as have arrived; bookmarks included.

        Ends when the server ends the watch: call again from the last version seen. Raises Gone when
        that version is too old, Unreachable when the connection breaks or falls silent.
        """
        query = _query(
            watch="1",
            allowWatchBookmarks="true",
            resourceVersion=resource_version,
            timeoutSeconds=WATCH_SECONDS,
            labelSelector=label_selector,
            fieldSelector=field_selector,
        )
        target = f"{resource.path(namespace)}?{urlencode(query)}"
        headers = {"Accept": _METADATA if metadata_only else _JSON}
        self._count("WATCH", resource)
        async with self._transport.stream(
            target, headers, self._timeout, self._watch_silence
        ) as stream:
            if stream.status != 200:
                raise error_from(stream.status, await stream.read())
            rest = b""
            async for chunk in stream.chunks():
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LARGEST_LINE:
                    raise Unreachable("a watch event is larger than any object can be")
                if events := [_decoded_event(line) for line in lines if line]:
                    yield events

    async def close(self) -> None:
        """Drop all connections."""
        await self._transport.close()

    async def _write(
        self, method: str, resource: Resource, target: str, body: bytes, content_type: str
    ) -> bytes:
        """What is there now. Else callers that need no answer would take garbage for a write done."""
        answer = await self._call(method, resource, target, body, content_type)
        try:
            _decode_answer(answer)
        except RecursionError:
            pass  # so deep are only objects
        except msgspec.MsgspecError as error:
            raise Unreachable("the answer to a write is no object") from error
        return answer

    async def _call(
        self,
        method: str,
        resource: Resource,
        target: str,
        body: bytes = b"",
        content_type: str = "",
        accept: str = _JSON,
        verb: str = "",
    ) -> bytes:
        self._count(verb or method, resource)
        headers = {"Accept": accept}
        if content_type:
            headers["Content-Type"] = content_type
        response = await self._checked(method, target, headers, body, RETRIES_WHEN_BUSY)
        return response.body

    async def _checked(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, retries: int
    ) -> Response:
        while True:
            try:
                response = await self._transport.request(
                    method, target, headers, body, self._timeout
                )
            except Unreachable:
                self._observe(False)
                raise
            self._observe(True)
            if response.status < 400:
                return response
            error = error_from(response.status, response.body, response.retry_after)
            if not retries or not _come_later(error):
                raise error
            retries -= 1
            await asyncio.sleep(min(max(error.retry_after, 0.05), self._longest_wait))

    def _count(self, verb: str, resource: Resource) -> None:
        call = (verb, resource.plural)
        self.calls[call] = self.calls.get(call, 0) + 1


class _Answer(msgspec.Struct, gc=False):
    """An object, or the Status that a deletion or a binding is answered by."""

    kind: str


_decode_answer = msgspec.json.Decoder(_Answer).decode


def _come_later(error: ApiError) -> bool:
    busy = isinstance(error, TooManyRequests)
    return busy or (isinstance(error, ServerError) and error.retry_after > 0)


def _query(**values: object) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value != ""}


def _decoded_list(body: bytes) -> ObjectList:
    try:
        return decode_list(body)
    except RecursionError:
        return _decoded_shallow(body)
    except msgspec.MsgspecError as error:
        raise Unreachable("the answer to a list is not a list") from error


def _decoded_shallow(body: bytes) -> ObjectList:
    try:
        return decode_list(without_deep_items(body))
    except (RecursionError, msgspec.MsgspecError) as error:
        raise Unreachable("the answer to a list is not a list that can be read") from error


def _decoded_event(line: bytes) -> WatchEvent:
    try:
        event = decode_watch_event(line)
    except msgspec.MsgspecError as error:
        raise Unreachable("a line of a watch is not an event") from error
    if event.type == "ERROR":
        status = int(_number(event.object))
        if status == 410:
            raise Gone(410, "Expired", "the version to watch from is too old")
        raise error_from(status, event.object)
    return event


class _Code(msgspec.Struct):
    code: float = 500


def _number(body: bytes) -> float:
    try:
        code = msgspec.json.decode(body, type=_Code).code
    except msgspec.MsgspecError:
        return 500
    return code if math.isfinite(code) and code >= 400 else 500
