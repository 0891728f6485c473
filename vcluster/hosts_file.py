"""What of a super pod is ours for its ``/etc/hosts``, and a super pod without it.

The syncer puts it there (syncer/kinds/pod_hosts.py); the syncer and the node agent keep it from tenants.
Pure.
"""

from typing import Any

Object = dict[str, Any]

NAME = "virtualcluster-hosts"
"""Of the init container and of the volume. No tenant's container or volume is called so."""
PATH = "/etc/hosts"
FIELD_PATH = f"spec.initContainers{{{NAME}}}"
"""By this an Event names the init container."""

CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
STATUSES = tuple(f"{kind.removesuffix('s')}Statuses" for kind in CONTAINERS)


def unnamed(text: str) -> str:
    """A message that does not name the container: it is missing in lists (``[a b]``), else it is a path."""
    return text.replace(f"{NAME} ", "").replace(f" {NAME}", "").replace(NAME, PATH)


def unmounted(container: Object) -> Object:
    """A container, or the status of one, without the mount of our volume."""
    mounts = container.get("volumeMounts")
    if not mounts:
        return container
    rest = {field: value for field, value in container.items() if field != "volumeMounts"}
    kept = [mount for mount in mounts if mount.get("name") != NAME]
    return rest | {"volumeMounts": kept} if kept else rest


def in_spec(spec: Object) -> Object:
    """The spec of a super pod as it would be without us."""
    shown = dict(spec)
    for kind in CONTAINERS:
        if spec.get(kind):
            shown[kind] = [unmounted(item) for item in _others(spec[kind])]
    if spec.get("volumes"):
        shown["volumes"] = _others(spec["volumes"])
    return _without_emptied(shown, spec)


def in_status(status: Object) -> Object:
    """The status of a super pod as it would be without us.

    A pod that has no init container beside ours is not one that is being initialized: what waits is
    being created.
    """
    shown = dict(status)
    for kind in STATUSES:
        if status.get(kind):
            shown[kind] = [unmounted(item) for item in _others(status[kind])]
    alone = not shown.get("initContainerStatuses")
    if alone:
        for kind in STATUSES:
            if shown.get(kind):
                shown[kind] = [_created(item) for item in shown[kind]]
    if status.get("conditions"):
        shown["conditions"] = [_condition(item, alone) for item in status["conditions"]]
    return _without_emptied(shown, status)


def _others(items: list[Object]) -> list[Object]:
    return [item for item in items if item.get("name") != NAME]


def _without_emptied(shown: Object, before: Object) -> Object:
    """Without the lists that only had what is ours: an API server would not show them."""
    return {field: value for field, value in shown.items() if value != [] or before[field] == []}


def _created(status: Object) -> Object:
    waiting = (status.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") != "PodInitializing":
        return status
    return status | {"state": {"waiting": waiting | {"reason": "ContainerCreating"}}}


def _condition(condition: Object, alone: bool) -> Object:
    if NAME not in (condition.get("message") or ""):
        return condition
    if condition.get("type") == "Initialized" and alone:
        rest = {key: value for key, value in condition.items() if key not in ("reason", "message")}
        return rest | {"status": "True"}
    return condition | {"message": unnamed(condition["message"])}
