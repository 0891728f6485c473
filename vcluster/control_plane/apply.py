"""Bring an API server's objects to what is wanted, with a write only where they differ."""

from collections.abc import Iterable
from concurrent.futures import Executor
from typing import Any

from vcluster import api
from vcluster.api import Object
from vcluster.control_plane.cluster import Cluster
from vcluster.control_plane.resources import APPLIED


def contains(live: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; what a server or others added is no difference."""
    if isinstance(wanted, dict) and isinstance(live, dict):
        return all(key in live and contains(live[key], value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(live, list):
        pairs = zip(live, wanted, strict=False)
        return len(live) == len(wanted) and all(contains(one, other) for one, other in pairs)
    return bool(live == wanted)


def converge(cluster: Cluster, wanted: Iterable[Object], executor: Executor) -> list[str]:
    """Apply those objects that differ; which they were, as ``Kind/name``. Raises ApiError."""

    def one(obj: Object) -> str | None:
        metadata = obj["metadata"]
        resource = APPLIED[obj["apiVersion"], obj["kind"]]
        live = cluster.get(resource, metadata["name"], metadata.get("namespace", ""))
        if live is not None and contains(live, obj) and not _undermined(live, obj):
            return None
        if live is not None and _undermined(live, obj):
            # Applying would leave what others have added.
            cluster.delete(resource, metadata["name"], uid=live["metadata"]["uid"])
        cluster.apply(resource, obj)
        return f"{obj['kind']}/{metadata['name']}"

    return [changed for changed in executor.map(one, wanted) if changed]


def remove(cluster: Cluster, unwanted: Iterable[Object]) -> list[str]:
    """Delete those objects that carry our label; which they were, as ``Kind/name``. Raises ApiError."""
    removed = []
    for obj in unwanted:
        metadata = obj["metadata"]
        resource = APPLIED[obj["apiVersion"], obj["kind"]]
        live = cluster.get(resource, metadata["name"], metadata.get("namespace", ""))
        if live is None or not _is_ours(live):
            continue
        namespace, uid = metadata.get("namespace", ""), live["metadata"]["uid"]
        cluster.delete(resource, metadata["name"], namespace, uid)
        removed.append(f"{obj['kind']}/{metadata['name']}")
    return removed


def _is_ours(live: Object) -> bool:
    return bool(live["metadata"].get("labels", {}).get(api.MANAGED_BY_LABEL) == api.MANAGED_BY)


EXACT = frozenset({"ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})
"""Kinds whose templates name every field that has a default: what is there beyond them was added to
weaken them (an exception for a namespace, an aggregation rule)."""


def _undermined(live: Object, wanted: Object) -> bool:
    """Something in the body of an object of an exact kind is not as wanted."""
    if wanted["kind"] not in EXACT:
        return False
    bodies = (
        {name: value for name, value in obj.items() if name not in ("metadata", "status")}
        for obj in (live, wanted)
    )
    return next(bodies) != next(bodies)


def different(live: Iterable[Object], wanted: Iterable[Object]) -> list[Object]:
    """Those wanted objects that the list (of one kind and namespace) lacks, or has otherwise."""
    by_name = {obj["metadata"]["name"]: obj for obj in live}
    return [
        obj
        for obj in wanted
        if not contains(by_name.get(obj["metadata"]["name"]), _without_type(obj))
    ]


def apply_all(cluster: Cluster, wanted: Iterable[Object], executor: Executor) -> list[str]:
    """Apply objects, at once; which they were, as ``Kind/name``. Raises ApiError."""

    def one(obj: Object) -> str:
        cluster.apply(APPLIED[obj["apiVersion"], obj["kind"]], obj)
        return f"{obj['kind']}/{obj['metadata']['name']}"

    return list(executor.map(one, wanted))


def _without_type(obj: Object) -> Object:
    """As an object is in a list, where the list alone says what it holds."""
    return {field: value for field, value in obj.items() if field not in ("apiVersion", "kind")}
