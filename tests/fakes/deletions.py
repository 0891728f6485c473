"""Deletion: grace, finalizers, preconditions, and namespaces that empty themselves."""

from collections.abc import Mapping
from typing import Any

from kube.objects import Object
from tests.fakes import status
from tests.fakes.clock import now
from tests.fakes.storage import Storage
from tests.fakes.targets import Target

_RETURNED_WHEN_DELETED = frozenset(
    {"pods", "services", "serviceaccounts", "persistentvolumeclaims"}
)


class Deletions:
    """What a deletion leads to."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def delete(self, target: Target, old: Object, options: Mapping[str, Any]) -> Object:
        """Delete an object, at once or in its time. Raises 409."""
        metadata = old["metadata"]
        preconditions = options.get("preconditions") or {}
        if (wanted := preconditions.get("uid", metadata["uid"])) != metadata["uid"]:
            raise status.wrong_uid(target.full_name, target.name, wanted, metadata["uid"])
        version = preconditions.get("resourceVersion", metadata["resourceVersion"])
        if version != metadata["resourceVersion"]:
            raise status.stale(target.full_name, target.name)
        grace = _grace(target, old, options)
        waits = grace > 0 or metadata.get("finalizers") or target.plural == "namespaces"
        result = self._mark_deleted(target, old, grace) if waits else self.remove(target, old)
        if waits or target.plural in _RETURNED_WHEN_DELETED:
            return result
        details = {"name": target.name, "kind": target.plural, "uid": metadata["uid"]}
        return status.success(details)

    def _mark_deleted(self, target: Target, old: Object, grace: int) -> Object:
        metadata = old["metadata"]
        left = metadata.get("deletionGracePeriodSeconds", 0)
        if "deletionTimestamp" in metadata and grace >= left:
            return old
        marked = {"deletionTimestamp": now(grace), "deletionGracePeriodSeconds": grace}
        if "generation" in metadata:
            marked["generation"] = metadata["generation"] + 1
        obj = old | {"metadata": metadata | marked}
        if target.plural == "namespaces":
            obj["metadata"].pop("deletionGracePeriodSeconds")
            obj["status"] = {"phase": "Terminating"}
        written = self.storage.write(target.table, target.key, obj)
        if target.plural == "namespaces":
            self._empty_namespace(target.name)
        return written

    def remove(self, target: Target, last: Object) -> Object:
        """Remove an object at once."""
        gone = self.storage.remove(target.table, target.key, last)
        if target.namespace:
            self._finish_namespace(target.namespace)
        return gone

    def _empty_namespace(self, name: str) -> None:
        for table, key in list(self.storage.in_namespace(name)):
            if (found := self.storage.get(table, key)) is not None:
                self.delete(Target(table.group, "v1", table.plural, *key), found, {})
        self._finish_namespace(name)

    def _finish_namespace(self, name: str) -> None:
        target = Target("", "v1", "namespaces", "", name)
        found = self.storage.get(target.table, target.key)
        if found is None or "deletionTimestamp" not in found["metadata"]:
            return
        if not found["metadata"].get("finalizers") and not list(self.storage.in_namespace(name)):
            self.storage.remove(target.table, target.key, found)


def _grace(target: Target, old: Object, options: Mapping[str, Any]) -> int:
    if target.plural != "pods":
        return 0
    if old["status"].get("phase") in ("Succeeded", "Failed") or not old["spec"].get("nodeName"):
        return 0
    asked = options.get("gracePeriodSeconds")
    return int(old["spec"]["terminationGracePeriodSeconds"] if asked is None else asked)


def may_go(target: Target, obj: Object) -> bool:
    """Whether nothing keeps a deleted object any longer."""
    metadata = obj["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and target.plural != "namespaces"
    )
