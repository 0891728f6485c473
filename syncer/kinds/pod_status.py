"""A super pod's status as it goes up to the tenant's pod."""

from collections.abc import Mapping

import msgspec

from kube.objects import Metadata, Object
from vcluster import api, hosts_file

Status = dict[str, msgspec.Raw]


class SuperPodView(msgspec.Struct, gc=False):
    """The parts of a super pod that the tenant gets to see; unknown status fields stay bytes."""

    metadata: Metadata
    status: Status = {}


decode = msgspec.json.Decoder(SuperPodView).decode
_decode_conditions = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_whole_conditions = msgspec.json.Decoder(list[dict[str, object]]).decode
_decode_string = msgspec.json.Decoder(str).decode
_decode_integer = msgspec.json.Decoder(int).decode
CLAIM_FIELDS = ("resourceClaimStatuses", "extendedResourceClaimStatus")
"""They name claims; the second one those that the super cluster's scheduler makes for itself."""
_PARTS_WITH_NAMES = (*hosts_file.STATUSES, "conditions")
_HOSTS = hosts_file.NAME.encode()
_SAID_OF_CLASS = api.SAID_OF_TENANT_PRIORITY_CLASS.encode()


def says_only_scheduled(status: Mapping[str, msgspec.Raw]) -> bool:
    """Nothing beyond what the tenant's API server itself writes when a pod is bound."""
    if not set(status) <= {"phase", "conditions", "qosClass"}:
        return False
    conditions = _decode_conditions(status.get("conditions", msgspec.Raw(b"[]")))
    return _decode_string(status.get("phase", msgspec.Raw(b'"Pending"'))) == "Pending" and all(
        _decode_string(condition["type"]) == "PodScheduled"
        and _decode_string(condition["status"]) == "True"
        for condition in conditions
    )


def has_condition(status: Mapping[str, msgspec.Raw], kind: str) -> bool:
    """The status has a condition of this type, true or not."""
    conditions = _decode_conditions(status.get("conditions", msgspec.Raw(b"[]")))
    return any(_decode_string(condition["type"]) == kind for condition in conditions)


def unschedulable(status: Mapping[str, msgspec.Raw]) -> str:
    """What the scheduler says of a pod that it finds no place for; empty: it says no such thing."""
    conditions = _decode_whole_conditions(status.get("conditions", msgspec.Raw(b"[]")))
    for condition in conditions:
        if (condition.get("type"), condition.get("status")) == ("PodScheduled", "False"):
            said = condition.get("message") if condition.get("reason") == "Unschedulable" else ""
            return str(said or "")
    return ""


def to_tenant(
    view: SuperPodView,
    *,
    qos: str,
    namespace: str,
    own_conditions: Mapping[str, Object],
    claims: str = "",
) -> bytes:
    """The status of the tenant's pod, as JSON.

    From the super cluster come all fields, with these exceptions: ``qosClass`` cannot change and
    stays the tenant's; generations are the tenant's (the mirror's annotation says which one it shows);
    conditions of declared readiness gates are the tenant's own (``own_conditions``, by type), and so is
    what is said of claims made of templates (``claims``, as JSON: its own controller made them); the
    super namespace's name and the super pod's UID become the tenant's wherever they stand in a message, and
    what the scheduler says of our PriorityClass is left out, and so is our init container.
    """
    status = _without_ours(view.status)
    for field in CLAIM_FIELDS:
        status.pop(field, None)
    if claims:
        status[CLAIM_FIELDS[0]] = msgspec.Raw(claims.encode())
    if qos:
        status["qosClass"] = msgspec.Raw(msgspec.json.encode(qos))
    shown = int(view.metadata.annotations.get(api.GENERATION_ANNOTATION, "0") or 0)
    if "observedGeneration" in status:
        status["observedGeneration"] = _generation(
            status["observedGeneration"], view.metadata.generation, shown
        )
    raw_conditions = bytes(status.get("conditions", b""))
    if own_conditions or b'"observedGeneration"' in raw_conditions:
        conditions = _decode_conditions(raw_conditions or b"[]")
        for condition in conditions:
            if "observedGeneration" in condition:
                condition["observedGeneration"] = _generation(
                    condition["observedGeneration"], view.metadata.generation, shown
                )
        kept: list[object] = [
            condition
            for condition in conditions
            if _decode_string(condition["type"]) not in own_conditions
        ]
        status["conditions"] = msgspec.Raw(msgspec.json.encode([*kept, *own_conditions.values()]))
    body = msgspec.json.encode(status).replace(_SAID_OF_CLASS, b"")
    own_uid = view.metadata.annotations.get(api.UID_ANNOTATION)
    for hidden, shown_as in ((view.metadata.namespace, namespace), (view.metadata.uid, own_uid)):
        if hidden and shown_as:
            body = body.replace(hidden.encode(), shown_as.encode())
    return body


def _without_ours(status: Mapping[str, msgspec.Raw]) -> Status:
    """Without the init container that writes ``/etc/hosts``; at the cost of a search for most pods."""
    parts = {field: bytes(status[field]) for field in _PARTS_WITH_NAMES if field in status}
    if not any(_HOSTS in part for part in parts.values()):
        return dict(status)
    found = {field: msgspec.json.decode(part) for field, part in parts.items()}
    others = {field: value for field, value in status.items() if field not in found}
    shown = hosts_file.in_status(found)
    return others | {field: msgspec.Raw(msgspec.json.encode(part)) for field, part in shown.items()}


def _generation(observed: msgspec.Raw, current: int, shown: int) -> msgspec.Raw:
    """The tenant's generation that the kubelet has observed, given the mirror's."""
    behind = max(0, current - _decode_integer(observed))
    return msgspec.Raw(msgspec.json.encode(max(1, shown - behind)))
