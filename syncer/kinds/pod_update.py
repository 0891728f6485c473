"""What can be changed on a super pod that exists, as small patches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kube.objects import Object
from syncer.kinds.mirror import metadata_patch
from syncer.kinds.node_resources import may_be_own
from syncer.kinds.offers import Offers
from syncer.kinds.pod import to_super
from syncer.kinds.pod_containers import container
from vcluster import api
from vcluster.api import Tenant


@dataclass(frozen=True, slots=True)
class PodPatch:
    """A strategic merge patch of the pod or of a subresource of it."""

    subresource: str
    body: Object


def patches(
    live: Object,
    pod: Object,
    tenant: Tenant,
    offers: Offers,
    named: Callable[[Object], Object] | None = None,
) -> list[PodPatch]:
    """The patches that bring the live super pod to what the tenant's pod says.

    Labels, annotations, containers, tolerations and gates that others added to it stay. The digest
    is in none of them: whoever has sent them all writes it, so that a kill on the way, or a part that
    is refused, leaves the difference visible. ``named``: has the super pod name nodes because of what
    the tenant says of its own, while the pod is not bound.
    """
    # Under which runtime it runs, and for which node, was decided when it was made, and never changes.
    made_for = (live["metadata"].get("annotations") or {}).get(api.NODE_NAME_ANNOTATION)
    decided = {"runtimeClassName"} if made_for else {"runtimeClassName", "nodeName"}
    spec = {name: value for name, value in pod["spec"].items() if name not in decided}
    wanted = to_super(pod | {"spec": spec}, tenant, offers)
    wanted = named(wanted) if named is not None else wanted
    found: list[PodPatch] = []
    if added := _ephemeral(live, pod, tenant):
        found.append(PodPatch("ephemeralcontainers", {"spec": {"ephemeralContainers": added}}))
    if resized := _resize(live["spec"], wanted["spec"]):
        found.append(PodPatch("resize", {"spec": resized}))
    body: Object = {"metadata": {"uid": live["metadata"]["uid"]}}
    marks = wanted["metadata"]["annotations"]
    undigested = {key: value for key, value in marks.items() if key != api.DIGEST_ANNOTATION}
    metadata = wanted["metadata"] | {"annotations": undigested}
    body["metadata"] |= metadata_patch(live, {"metadata": metadata})
    if spec := _spec(live, wanted):
        body["spec"] = spec
    return [*found, PodPatch("", body)]


def _spec(live: Object, wanted: Object) -> Object:
    have, want = live["spec"], wanted["spec"]
    patch: Object = {}
    for kind in ("initContainers", "containers"):
        images = {item["name"]: item.get("image") for item in want.get(kind) or ()}
        changed = [
            {"name": item["name"], "image": images[item["name"]]}
            for item in have.get(kind) or ()
            if item["name"] in images and item.get("image") != images[item["name"]]
        ]
        if changed:
            patch[kind] = changed
    tolerations = _tolerations(have, want)
    if tolerations != (have.get("tolerations") or []):
        patch["tolerations"] = tolerations
    deadline = want.get("activeDeadlineSeconds")
    if deadline is not None and deadline != have.get("activeDeadlineSeconds"):
        patch["activeDeadlineSeconds"] = deadline
    if gates := _gates_removed(live, want):
        patch["schedulingGates"] = gates
    if have.get("schedulingGates"):
        patch |= _narrowed(have, want)
    return patch


def _narrowed(have: Object, want: Object) -> Object:
    """Where a pod may run can only be narrowed, and only while the pod is gated."""
    patch: Object = {}
    selector = have.get("nodeSelector") or {}
    wanted_selector = want.get("nodeSelector") or {}
    if added := {key: value for key, value in wanted_selector.items() if key not in selector}:
        patch["nodeSelector"] = added
    nodes = (want.get("affinity") or {}).get("nodeAffinity")
    if nodes and nodes != (have.get("affinity") or {}).get("nodeAffinity"):
        patch["affinity"] = {"nodeAffinity": {"$patch": "replace"} | nodes}
    return patch


def _tolerations(have: Object, want: Object) -> list[Object]:
    """The live ones with the tenant's times, and those that the tenant has added."""
    live: list[Object] = list(have.get("tolerations") or ())
    for wanted in want.get("tolerations") or ():
        places = [index for index, item in enumerate(live) if _same_taint(item, wanted)]
        if not places:
            live.append(wanted)
        elif wanted not in live:
            live[places[0]] = wanted
    return live


def _same_taint(one: Object, other: Object) -> bool:
    return one | {"tolerationSeconds": None} == other | {"tolerationSeconds": None}


def _gates_removed(live: Object, want: Object) -> list[Object]:
    marks = live["metadata"].get("annotations") or {}
    ours = set(marks.get(api.SCHEDULING_GATES_ANNOTATION, "").split())
    kept = {gate["name"] for gate in want.get("schedulingGates") or ()}
    here = {gate["name"] for gate in live["spec"].get("schedulingGates") or ()}
    return [{"name": name, "$patch": "delete"} for name in sorted((ours - kept) & here)]


def _ephemeral(live: Object, pod: Object, tenant: Tenant) -> list[Object]:
    here = {item["name"] for item in live["spec"].get("ephemeralContainers") or ()}
    asked = pod["spec"].get("ephemeralContainers") or ()
    return [container(item, tenant) for item in asked if item["name"] not in here]


def _resize(have: Object, want: Object) -> Object:
    patch: Object = {}
    for kind in ("initContainers", "containers"):
        live = {item["name"]: item.get("resources") or {} for item in have.get(kind) or ()}
        changed = []
        for item in want.get(kind) or ():
            if item["name"] not in live:
                continue
            change = _changed(live[item["name"]], item.get("resources") or {})
            if change:
                changed.append({"name": item["name"], "resources": change})
        if changed:
            patch[kind] = changed
    if change := _changed(have.get("resources") or {}, want.get("resources") or {}):
        patch["resources"] = change
    return patch


def _changed(live: Object, wanted: Object) -> Object:
    """Values set by the tenant that differ; values that only the super cluster has set stay.

    Extended resources never change; those that only the tenant knows of are not there at all.
    """
    patch: dict[str, Any] = {}
    for field in ("requests", "limits"):
        have = live.get(field) or {}
        want = wanted.get(field) or {}
        change = {key: value for key, value in want.items() if have.get(key) != value}
        if change := {key: value for key, value in change.items() if not may_be_own(key)}:
            patch[field] = change
    return patch
