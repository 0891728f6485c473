"""What an API server does for each verb, in memory and without HTTP."""

import random
import string
import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from kube.objects import Object, ObjectKey
from tests.fakes import patches, status, strategies
from tests.fakes.clock import now
from tests.fakes.deletions import Deletions, may_go
from tests.fakes.selectors import selects
from tests.fakes.storage import Storage, Table
from tests.fakes.targets import CLUSTER_SCOPED, Target, listed

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = ("application/apply-patch+yaml", "application/apply-patch+json")

_RETURNED_WHEN_DELETED = frozenset(
    {"pods", "services", "serviceaccounts", "persistentvolumeclaims"}
)
_READ_ONLY_METADATA = (
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "managedFields",
)
Admission = Callable[[Target, Object], None]
"""Sees each object before it is created; may change it, or raise StatusError."""


class Verbs:
    """Reads and writes. A namespace that is deleted empties itself, as its controller would do it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._deletions = Deletions(storage)
        self.admission: list[Admission] = []
        self._pages: dict[str, list[Object]] = {}
        self._applied: dict[tuple[Table, ObjectKey, str], Object] = {}
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self.create(Target("", "v1", "namespaces"), {"metadata": {"name": name}})

    def get(self, target: Target) -> Object:
        """One object. Raises 404."""
        found = self.storage.get(target.table, target.key)
        if found is None:
            raise status.not_found(target.full_name, target.name)
        return found

    def list_objects(self, target: Target, query: Mapping[str, str]) -> Object:
        """A list or a page of it; the pages of one list show one moment."""
        version, items, metadata = self.storage.revision, self._selected(target, query), {}
        if token := query.get("continue"):
            if token not in self._pages:
                raise status.expired("The provided continue parameter is too old")
            items = self._pages[token]
            version = int(token.partition(".")[0])
        elif int(query.get("resourceVersion") or 0) > version:
            raise status.too_large_version(int(query["resourceVersion"]), version)
        limit = int(query.get("limit") or 0)
        if limit and len(items) > limit:
            token = f"{version}.{uuid.uuid4().hex}"
            self._pages[token] = items[limit:]
            metadata = {"continue": token, "remainingItemCount": len(items) - limit}
            items = items[:limit]
        return {
            "kind": f"{target.kind}List",
            "apiVersion": target.api_version,
            "metadata": {"resourceVersion": str(version)} | metadata,
            "items": [listed(target, item) for item in items],
        }

    def compact(self) -> None:
        """Let older watches and pages expire."""
        self.storage.compact()
        self._pages.clear()

    def create(self, target: Target, body: Object) -> Object:
        """A new object. Raises 400, 403, 404, 409, 422."""
        obj = deepcopy(body)
        metadata = self._checked_metadata(target, obj)
        if metadata.get("resourceVersion"):
            message = "resourceVersion should not be set on objects to be created"
            raise status.StatusError(500, "InternalError", message)
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                raise status.invalid(target.kind, "", "metadata.name", "Required value")
            suffix = "".join(random.choices(string.digits[2:] + "bcdfghjklm", k=5))
            metadata["name"] = metadata["generateName"] + suffix
        for field in _READ_ONLY_METADATA:
            metadata.pop(field, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = now()
        target = target.named(metadata["name"])
        self._check_namespace(target)
        for admit in self.admission:
            admit(target, obj)
        strategies.prepare_create(target, obj)
        if self.storage.get(target.table, target.key) is not None:
            raise status.already_exists(target.full_name, target.name)
        return self.storage.write(target.table, target.key, obj)

    def update(self, target: Target, body: Object) -> Object:
        """Replace an object, or the part of it that the subresource is. Raises 404, 409, 422."""
        new = deepcopy(body)
        self._checked_metadata(target, new)
        old = self.get(target)
        found = old["metadata"]["uid"]
        if (uid := new["metadata"].get("uid") or found) != found:
            raise status.wrong_uid(target.full_name, target.name, uid, found)
        return self._write(target, old, new)

    def patch(
        self, target: Target, content_type: str, body: Any, query: Mapping[str, str]
    ) -> tuple[int, Object]:
        """Patch an object; the code is 201 if an apply has created it."""
        if content_type in APPLY:
            return self._apply(target, body, query)
        old = self.get(target)
        if content_type == MERGE:
            new = patches.merge_patch(old, body)
        elif content_type == JSON_PATCH:
            new = patches.json_patch(old, body)
        elif content_type == STRATEGIC and target.built_in:
            new = patches.strategic_patch(old, body)
        else:
            raise status.unsupported_media_type(content_type)
        return 200, self._write(target, old, new)

    def delete(self, target: Target, options: Mapping[str, Any]) -> Object:
        """Delete an object, at once or in its time. Raises 404, 409."""
        return self._deletions.delete(target, self.get(target), options)

    def delete_collection(self, target: Target, query: Mapping[str, str]) -> Object:
        """Delete all that is selected."""
        for item in self._selected(target, query):
            metadata = item["metadata"]
            namespace = metadata.get("namespace", "")
            self.delete(target._replace(namespace=namespace, name=metadata["name"]), {})
        return status.success({"kind": target.plural})

    def _selected(self, target: Target, query: Mapping[str, str]) -> list[Object]:
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        items = self.storage.items(target.table, target.namespace)
        return [item for item in items if selects(item, labels, fields)]

    def _checked_metadata(self, target: Target, obj: Object) -> Object:
        if not isinstance(obj, dict):
            raise status.bad_request("the object provided is not an object")
        for field, right in (("apiVersion", target.api_version), ("kind", target.kind)):
            if obj.setdefault(field, right) != right and (field == "apiVersion" or target.built_in):
                raise status.bad_request(f"{field} in the data ({obj[field]}) is not {right}")
        metadata: Object = obj.setdefault("metadata", {})
        namespace, name = metadata.get("namespace"), metadata.get("name")
        if (namespace or target.namespace) != target.namespace:
            message = "the namespace of the provided object does not match the request's"
            raise status.bad_request(message)
        if target.name and name and name != target.name:
            message = f"the name of the object ({name}) does not match the URL ({target.name})"
            raise status.bad_request(message)
        if target.namespace:
            metadata["namespace"] = target.namespace
        return metadata

    def _check_namespace(self, target: Target) -> None:
        if target.plural in CLUSTER_SCOPED:
            return
        if not target.namespace:
            raise status.bad_request("an empty namespace may not be set during creation")
        found = self.storage.get(Table("", "namespaces"), ObjectKey("", target.namespace))
        if found is None:
            raise status.not_found("namespaces", target.namespace)
        if "deletionTimestamp" in found["metadata"]:
            where = f"namespace {target.namespace} because it is being terminated"
            why = f"unable to create new content in {where}"
            raise status.forbidden(target.full_name, target.name, why)

    def _write(self, target: Target, old: Object, new: Object) -> Object:
        before, wanted = old["metadata"], new["metadata"]
        if (wanted.get("resourceVersion") or before["resourceVersion"]) != before[
            "resourceVersion"
        ]:
            raise status.stale(target.full_name, target.name)
        result = strategies.merge_update(target, old, new)
        if result == old:
            return old  # a write that changes nothing makes no new version
        if may_go(target, result):
            return self._deletions.remove(target, result)
        return self.storage.write(target.table, target.key, result)

    def _apply(self, target: Target, body: Any, query: Mapping[str, str]) -> tuple[int, Object]:
        manager = query.get("fieldManager", "")
        if not manager:
            raise status.bad_request("PatchOptions.meta.k8s.io is invalid: fieldManager: Required")
        remembered = (target.table, target.key, manager)
        wanted = deepcopy(body)
        old = self.storage.get(target.table, target.key)
        if old is None:
            if target.subresource:
                raise status.not_found(target.full_name, target.name)
            code, result = 201, self.create(target, wanted)
        else:
            previous = self._applied.get(remembered, {})
            code, new = 200, patches.apply_patch(old, previous, wanted)
            result = self._write(target, old, new)
        self._applied[remembered] = body
        return code, result
