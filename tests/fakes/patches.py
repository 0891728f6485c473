"""The four kinds of patches, as functions from one object to the next."""

from copy import deepcopy
from typing import Any

from kube.objects import Object
from tests.fakes.status import StatusError, bad_request

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "conditions": "type",
    "addresses": "type",
    "ownerReferences": "uid",
    "imagePullSecrets": "name",
    "secrets": "name",
    "hostAliases": "ip",
    "volumeMounts": "mountPath",
    "taints": "key",
    "schedulingGates": "name",
}
"""Lists of objects that a strategic patch merges element by element."""
_SETS = frozenset({"finalizers"})


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(target: Any, patch: Any, field: str = "") -> Any:
    """A merge that knows the lists with a merge key; ``$patch: delete`` and ``replace`` too."""
    if isinstance(patch, list):
        return _merged_list(target, patch, field)
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = strategic_patch(result.get(key), value, key)
    return result


def _merged_list(target: Any, patch: list[Any], field: str) -> list[Any]:
    have = list(target) if isinstance(target, list) else []
    if field in _SETS:
        return have + [value for value in patch if value not in have]
    merge_key = _MERGE_KEYS.get(field)
    if merge_key is None or any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item != {"$patch": "replace"}]
    for item in patch:
        name = item.get(merge_key)
        index = next((i for i, old in enumerate(have) if old.get(merge_key) == name), None)
        if item.get("$patch") == "delete":
            if index is not None:
                del have[index]
        elif index is None:
            have.append(item)
        else:
            have[index] = strategic_patch(have[index], item)
    return have


def apply_patch(live: Object, previous: Object, wanted: Object) -> Object:
    """Server-side apply without conflicts: what this manager no longer names is removed."""
    merged: Object = strategic_patch(live, wanted)
    _drop_abandoned(merged, previous, wanted)
    return merged


def _drop_abandoned(merged: Object, previous: Object, wanted: Object) -> None:
    for key, value in previous.items():
        if key not in wanted:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(wanted[key], dict):
            merged[key] = dict(merged[key])
            _drop_abandoned(merged[key], value, wanted[key])


def json_patch(target: Object, operations: Any) -> Object:
    """RFC 6902. An operation that cannot be carried out makes the server answer 422."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    document: Any = deepcopy(target)
    for operation in operations:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise _rejected() from error
    return dict(document)


def _rejected() -> StatusError:
    message = "the server rejected our request due to an error in our request"
    return StatusError(422, "Invalid", message)


def _operate(document: Any, operation: Any) -> Any:
    name, path = operation["op"], _steps(operation["path"])
    if name == "test":
        if _find(document, path) != operation["value"]:
            raise _rejected()
    elif name == "add":
        document = _add(document, path, deepcopy(operation["value"]))
    elif name == "remove":
        _remove(document, path)
    elif name == "replace":
        parent = _find(document, path[:-1])
        if isinstance(parent, list):
            _remove(document, path)  # the real one does not mind a missing key, only an index
        document = _add(document, path, deepcopy(operation["value"]))
    elif name in ("move", "copy"):
        source = _steps(operation["from"])
        value = deepcopy(_find(document, source))
        if name == "move":
            _remove(document, source)
        document = _add(document, path, value)
    else:
        raise bad_request(f"unexpected kind: {name}")
    return document


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _find(document: Any, path: list[str]) -> Any:
    for step in path:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if index > len(parent):
            raise IndexError(last)
        parent.insert(index, value)
    else:
        parent[last] = value
    return document


def _remove(document: Any, path: list[str]) -> None:
    parent, last = _find(document, path[:-1]), path[-1]
    del parent[int(last) if isinstance(parent, list) else last]
