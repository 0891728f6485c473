"""A fake API server over real sockets that behaves like a real one, and misbehaves on request."""

import asyncio
import contextlib
import ssl
from collections.abc import Collection

import msgspec
from aiohttp import web

from kube.objects import Object, ObjectKey
from kube.resources import Resource
from tests.fakes import subresources
from tests.fakes.faults import Answer, Call, Cut, CutWatch, Fault, Hang, Script, Slow, metadata_only
from tests.fakes.patches import merge_patch
from tests.fakes.requests import decoded_body, delete_options, read_call
from tests.fakes.status import StatusError, unknown_path
from tests.fakes.storage import Storage
from tests.fakes.targets import Target, parse_path
from tests.fakes.verbs import Verbs
from tests.fakes.watch import Watch

_HEALTH = ("/readyz", "/livez", "/healthz")


class FakeApiServer:
    """Serves any kind of object from memory on 127.0.0.1; state outlives ``stop`` and ``start``.

    ``script`` holds the faults and the log of requests. The methods from ``create`` on act at once
    and without HTTP, for a test's own part (a scheduler, a kubelet, a user).
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, tokens: Collection[str] = ()) -> None:
        self.script = Script()
        self.verbs = Verbs(Storage())
        self.tokens = set(tokens)
        """The bearer tokens that are accepted; empty: everybody is let in."""
        self.ready = True
        """What /readyz says."""
        self.open_watches = 0
        self._tls = tls
        self._port = 0
        self._runner: web.ServerRunner | None = None
        self._answers = asyncio.Event()
        self._answers.set()
        self._bookmark_rounds = 0

    @property
    def url(self) -> str:
        """Where it serves; the same after a restart."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen on a free port, or on the one of before."""
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            "127.0.0.1",
            self._port,
            ssl_context=self._tls,
            reuse_address=True,
        )
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Cut all connections and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def freeze(self) -> None:
        """As if stopped by a signal: connections stay, nothing is answered, watches fall silent."""
        self._answers.clear()

    def thaw(self) -> None:
        """The reverse of ``freeze``."""
        self._answers.set()

    def send_bookmarks(self) -> None:
        """Send a bookmark to every watcher that wants them."""
        self._bookmark_rounds += 1
        self.verbs.storage.wake()

    def compact(self) -> None:
        """Make all versions so far too old to watch from or to page through."""
        self.verbs.compact()

    def create(self, resource: Resource, obj: Object) -> Object:
        """Create an object at once."""
        namespace = obj["metadata"].get("namespace", "") if resource.namespaced else ""
        return self.verbs.create(_target(resource, ObjectKey(namespace, "")), obj)

    def get(self, resource: Resource, key: ObjectKey) -> Object | None:
        """The object now, or None."""
        return self.verbs.storage.get(_target(resource, key).table, key)

    def live(self, resource: Resource, key: ObjectKey) -> Object:
        """The object now. Raises StatusError (404)."""
        return self.verbs.get(_target(resource, key))

    def objects(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All objects of a kind."""
        return self.verbs.storage.items(_target(resource, ObjectKey("", "")).table, namespace)

    def patch(
        self, resource: Resource, key: ObjectKey, patch: Object, subresource: str = ""
    ) -> Object:
        """Merge a patch into an object at once."""
        target = _target(resource, key, subresource)
        return self.verbs.patch(target, "application/merge-patch+json", patch, {})[1]

    def bind(self, resource: Resource, key: ObjectKey, node: str) -> Object:
        """Do what a scheduler does."""
        return subresources.bind(self.verbs, _target(resource, key), {"target": {"name": node}})

    def delete(self, resource: Resource, key: ObjectKey, grace: int | None = None) -> None:
        """Delete an object at once; ``grace`` 0 is what a kubelet says when a pod has ended."""
        self.verbs.delete(_target(resource, key), {"gracePeriodSeconds": grace})

    def lose(self, resource: Resource, key: ObjectKey) -> None:
        """Remove an object without telling any watcher."""
        self.verbs.storage.write_quietly(_target(resource, key).table, key, None)

    def change_quietly(self, resource: Resource, key: ObjectKey, patch: Object) -> None:
        """Merge a patch into an object without telling any watcher."""
        changed = merge_patch(self.live(resource, key), patch)
        self.verbs.storage.write_quietly(_target(resource, key).table, key, changed)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        target = parse_path(request.rel_url.raw_path)
        call = await read_call(request, target)
        self.script.log.append(call)
        await self._answers.wait()
        fault = self.script.take(call)
        try:
            if fault and (answer := await self._misbehave(request, fault)):
                return answer
            if self.tokens and call.user not in self.tokens:
                raise StatusError(401, "Unauthorized", "Unauthorized")
            response = await self._answer(request, target, call, fault)
        except StatusError as error:
            headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
            return _json(error.code, error.to_object(), headers)
        await self._answers.wait()  # frozen while it worked
        if fault and isinstance(fault.effect, Cut):
            _cut(request)
        return response

    async def _misbehave(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse | None:
        effect = fault.effect
        if isinstance(effect, Answer):
            if effect.body is not None:
                headers = {"Retry-After": str(effect.retry_after)} if effect.retry_after else {}
                return web.Response(status=effect.code, body=effect.body, headers=headers)
            reason, wait = effect.reason or "Scripted", effect.retry_after
            raise StatusError(effect.code, reason, effect.message, retry_after=wait)
        if isinstance(effect, Hang):
            await fault.removed.wait()
        elif isinstance(effect, Slow):
            await asyncio.sleep(effect.seconds)
        elif isinstance(effect, Cut) and not effect.done:
            _cut(request)
            return web.Response()
        return None

    async def _answer(
        self, request: web.BaseRequest, target: Target | None, call: Call, fault: Fault | None
    ) -> web.StreamResponse:
        if target is None:
            return self._other(request)
        if call.verb == "WATCH":
            effect = fault.effect if fault else None
            cut = effect if isinstance(effect, CutWatch) else None
            return await self._watch(request, target, call, cut)
        partial = "as=PartialObjectMetadata" in call.accept
        code, result = self._do(target, call)
        if partial and call.verb == "LIST":
            items = [metadata_only(item) for item in result["items"]]
            kind = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
            result = kind | {"metadata": result["metadata"], "items": items}
        elif partial and result.get("kind") != "Status":
            result = metadata_only(result)
        return _json(code, result)

    def _do(self, target: Target, call: Call) -> tuple[int, Object]:
        verbs = self.verbs
        match call.verb:
            case "LIST":
                result = verbs.list_objects(target, call.query)
            case "DELETECOLLECTION":
                result = verbs.delete_collection(target, call.query)
            case "GET":
                result = verbs.get(target)
            case "POST" if target.subresource:
                return subresources.post(verbs, target, decoded_body(call))
            case "POST":
                return 201, verbs.create(target, decoded_body(call))
            case "PUT":
                result = verbs.update(target, decoded_body(call))
            case "PATCH":
                return verbs.patch(target, call.content_type, decoded_body(call), call.query)
            case "DELETE":
                result = verbs.delete(target, delete_options(call, decoded_body(call)))
            case _:
                message = "the server does not allow this method on the requested resource"
                raise StatusError(405, "MethodNotAllowed", message)
        return 200, result

    async def _watch(
        self, request: web.BaseRequest, target: Target, call: Call, cut: CutWatch | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        partial = "as=PartialObjectMetadata" in call.accept
        watch = Watch(self.verbs.storage, target, call.query, partial=partial)
        sent = 0
        self.open_watches += 1
        try:
            async with contextlib.aclosing(watch.events(lambda: self._bookmark_rounds)) as batches:
                async for batch in batches:
                    await self._answers.wait()
                    if cut and sent + len(batch) >= cut.after_events:
                        await _send(response, batch[: cut.after_events - sent], cut.garbage)
                        _cut(request)
                        return response
                    sent += len(batch)
                    await _send(response, batch)
        except ConnectionError:
            pass  # the client has gone
        finally:
            self.open_watches -= 1
        return response

    def _other(self, request: web.BaseRequest) -> web.Response:
        if request.path in _HEALTH:
            return (
                web.Response(text="ok") if self.ready else web.Response(status=500, text="not ok")
            )
        if request.path == "/version":
            return _json(200, {"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
        raise unknown_path()


def _target(resource: Resource, key: ObjectKey, subresource: str = "") -> Target:
    plural = resource.plural.partition(".")[0]
    return Target(resource.group, resource.version, plural, *key, subresource)


def _json(code: int, value: Object, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode(value)
    return web.Response(status=code, body=body, headers=headers, content_type="application/json")


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _send(response: web.StreamResponse, events: list[Object], rest: bytes = b"") -> None:
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
    if lines or rest:
        await response.write(lines + rest)
