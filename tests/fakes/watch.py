"""The streams of a watch: which changes a watcher sees, and as what."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping

from kube.objects import Object
from tests.fakes.faults import metadata_only
from tests.fakes.selectors import selects
from tests.fakes.status import StatusError
from tests.fakes.storage import Change, Storage, version_of
from tests.fakes.targets import Target


class Watch:
    """One watcher of one kind. Yields what is to be sent, as much at a time as there is."""

    def __init__(
        self, storage: Storage, target: Target, query: Mapping[str, str], *, partial: bool
    ) -> None:
        self._storage = storage
        self._target = target
        self._labels = query.get("labelSelector", "")
        self._fields = query.get("fieldSelector", "")
        self._wants_bookmarks = query.get("allowWatchBookmarks") in ("1", "true")
        self._version = query.get("resourceVersion", "")
        self._seconds = float(query.get("timeoutSeconds") or 1800)
        self._partial = partial

    async def events(self, bookmarks_due: Callable[[], int]) -> AsyncGenerator[list[Object], None]:
        """Ends after the time that the client asked for.

        ``bookmarks_due`` counts the rounds of bookmarks so far: one is sent when it grows.
        """
        since = self._storage.revision
        if self._version in ("", "0"):
            yield [self._event("ADDED", obj) for obj in self._initial()]
        else:
            try:
                self._storage.check_version(int(self._version))
            except StatusError as error:
                yield [{"type": "ERROR", "object": error.to_object()}]
                return
            since = int(self._version)
        woken = asyncio.Event()
        self._storage.listen(woken)
        try:
            async with asyncio.timeout(self._seconds):
                round_seen = bookmarks_due()
                while True:
                    woken.clear()
                    batch = self._batch(since)
                    since = max(since, self._storage.revision)
                    if self._wants_bookmarks and bookmarks_due() > round_seen:
                        batch.append(self._bookmark(since))
                    round_seen = bookmarks_due()
                    if batch:
                        yield batch
                    await woken.wait()
        except TimeoutError:
            return
        finally:
            self._storage.unlisten(woken)

    def _initial(self) -> list[Object]:
        items = self._storage.items(self._target.table, self._target.namespace)
        return [item for item in items if selects(item, self._labels, self._fields)]

    def _batch(self, since: int) -> list[Object]:
        changes = self._storage.changes(self._target.table, since)
        return [event for change in changes if (event := self._seen(change))]

    def _seen(self, change: Change) -> Object | None:
        namespace = self._target.namespace
        if namespace and change.after["metadata"].get("namespace") != namespace:
            return None
        before = change.before is not None and selects(change.before, self._labels, self._fields)
        after = not change.removed and selects(change.after, self._labels, self._fields)
        if after:
            return self._event("MODIFIED" if before else "ADDED", change.after)
        if before and change.before is not None:
            # An object that left the selection is shown as it was, with the new version.
            last = change.after if change.removed else change.before
            version = str(version_of(change.after))
            gone = last | {"metadata": last["metadata"] | {"resourceVersion": version}}
            return self._event("DELETED", gone)
        return None

    def _event(self, kind: str, obj: Object) -> Object:
        return {"type": kind, "object": metadata_only(obj) if self._partial else obj}

    def _bookmark(self, version: int) -> Object:
        obj: Object = {
            "kind": "PartialObjectMetadata" if self._partial else self._target.kind,
            "apiVersion": "meta.k8s.io/v1" if self._partial else self._target.api_version,
            "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
        }
        if self._target.plural == "pods" and not self._partial:
            obj |= {"spec": {"containers": None}, "status": {}}
        return {"type": "BOOKMARK", "object": obj}
