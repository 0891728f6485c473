"""ResourceClaims, by option: devices are allocated in the super cluster; the result goes up.

Templates stay in the tenant: its own controller makes claims of them, as in any cluster.
"""

from collections.abc import Callable, Iterator

from kube.objects import Object
from kube.resources import RESOURCE_CLAIMS
from syncer.kinds.classes import refuse_class
from syncer.kinds.mirror import (
    DownwardKind,
    Pods,
    Refused,
    Write,
    body,
    merge_patch,
    namespace_replaced,
    patch_beside_spec,
    super_metadata,
    with_digest,
)
from syncer.kinds.offers import Offers
from syncer.kinds.pod_policy import denied_tolerations
from vcluster import api
from vcluster.api import Tenant

REQUESTS = "spec.devices.requests"
KNOWN_CONFIGURATION = frozenset({"requests", "opaque"})
ALLOCATED = ("allocation", "devices", "reservedFor")
"""The fields of a status that are there only together with an allocation."""
PROTECTION = "resource.kubernetes.io/delete-protection"
"""The finalizer by which a scheduler keeps a claim that is allocated, until its pods have ended."""


def admitted(claim: Object, offers: Offers) -> Object:
    """The claim as it is. Raises Refused for a class that is not offered."""
    for field, request in _requests(claim):
        name = request.get("deviceClassName") or ""
        refuse_class(f"{field}.deviceClassName", name, offers.device_classes)
    return claim


def to_super(claim: Object, tenant: Tenant) -> Object:
    """The super ResourceClaim for a tenant's. Raises Refused."""
    for field, request in _requests(claim):
        _refuse_request(field, request, tenant)
    _refuse_configuration(claim, tenant)
    wanted = {
        "apiVersion": RESOURCE_CLAIMS.api_version,
        "kind": RESOURCE_CLAIMS.kind,
        "metadata": super_metadata(claim, tenant),
        **body(claim),
    }
    return with_digest(wanted)


def consumers(mirror: Object, claim: Object, pods: Pods) -> Object:
    """The super claim, reserved for the tenant's pods; without any, nothing is allocated.

    Only for living ones: else the tenant's controller, which takes away those that have ended, and we
    would write in turn. It also reserves a claim for a pod that is bound; that stays. And with the last
    pod it takes away the allocation: that is left to it.
    """
    status: Object = mirror.get("status") or {}
    reserved: dict[str, Object] = {}
    for consumer in status.get("reservedFor") or ():
        if _is_pod(consumer) and (uid := pods.shown(consumer["name"], consumer["uid"])):
            reserved[uid] = consumer | {"uid": uid}
    before = (claim.get("status") or {}).get("reservedFor") or ()
    for consumer in before if status.get("allocation") else ():
        if _is_pod(consumer) and pods.is_bound(consumer["name"], consumer["uid"]):
            reserved.setdefault(consumer["uid"], consumer)
    if claim["metadata"].get("deletionTimestamp"):  # an API server takes no new ones then
        kept = {consumer["uid"] for consumer in before}
        reserved = {uid: consumer for uid, consumer in reserved.items() if uid in kept}
    if reserved:
        return mirror | {"status": status | {"reservedFor": list(reserved.values())}}
    shown = {field: value for field, value in status.items() if field not in ALLOCATED}
    if before and all(map(_ended(pods), before)):
        own: Object = claim["status"]
        shown |= {field: own[field] for field in ALLOCATED if field in own}
    return mirror | {"status": shown}


def to_tenant(mirror: Object, claim: Object, tenant: Tenant) -> list[Write]:
    """What was allocated, for which pods, and what the drivers say of it.

    A claim that is allocated is protected first, as by a scheduler; the tenant's controller lets it go.
    """
    have: Object = claim.get("status") or {}
    given: Object = namespace_replaced(
        mirror.get("status") or {}, tenant, claim["metadata"]["namespace"]
    )
    writes = _protection(claim, wanted="allocation" in given)
    if allocation := given.get("allocation"):
        before = have.get("allocation")
        if before and _devices_of(before) == _devices_of(allocation):
            given = given | {"allocation": before}  # it never changes in place
        else:
            given = given | {"allocation": _without_class_configuration(allocation)}
            if before:
                writes.append(Write("status", {"status": dict.fromkeys(ALLOCATED)}))
                have = {field: value for field, value in have.items() if field not in ALLOCATED}
    if status := merge_patch(have, given):
        writes.append(Write("status", {"status": status}))
    return writes


def _protection(claim: Object, *, wanted: bool) -> list[Write]:
    metadata = claim["metadata"]
    finalizers: list[str] = metadata.get("finalizers") or []
    if wanted is (PROTECTION in finalizers):
        return []
    # Of a claim that is being deleted, or that is free already, the tenant's controller sees to it.
    allocated = "allocation" in (claim.get("status") or {})
    if metadata.get("deletionTimestamp") or not (wanted or allocated):
        return []
    others = [name for name in finalizers if name != PROTECTION]
    # A list is replaced as a whole: not one that somebody has added to meanwhile.
    version = {"resourceVersion": metadata["resourceVersion"]}
    kept = [*others, PROTECTION] if wanted else others
    return [Write("", {"metadata": {"finalizers": kept} | version})]


def _requests(claim: Object) -> Iterator[tuple[str, Object]]:
    """Each request, and each alternative of one, with its field. Raises Refused for another kind."""
    devices: Object = (claim.get("spec") or {}).get("devices") or {}
    for index, request in enumerate(devices.get("requests") or ()):
        field = f"{REQUESTS}[{index}]"
        if exactly := request.get("exactly"):
            yield f"{field}.exactly", exactly
        elif alternatives := request.get("firstAvailable"):
            for number, alternative in enumerate(alternatives):
                yield f"{field}.firstAvailable[{number}]", alternative
        else:
            message = (
                "it says neither exactly nor firstAvailable; what else it asks is not known here"
            )
            raise Refused(field, "NotServed", message)


def _refuse_request(field: str, request: Object, tenant: Tenant) -> None:
    if request.get("adminAccess"):
        raise Refused(
            f"{field}.adminAccess",
            "NotAllowed",
            "it would reach devices that others use; remove it",
        )
    if request.get("allocationMode") == "All" and any(map(_limits_devices, tenant.quota)):
        raise Refused(
            f"{field}.allocationMode",
            "QuotaExceeded",
            "'All' has no number, and your quota limits devices; use ExactCount with a count",
        )
    for refused in denied_tolerations(f"{field}.tolerations", request, tenant.policy):
        raise refused


def _limits_devices(key: str) -> bool:
    """A key of a quota that a claim may count for."""
    extended = key.startswith("requests.") and "/" in key
    return extended or key.endswith(api.DEVICE_CLASS_QUOTA_SUFFIX)


def _refuse_configuration(claim: Object, tenant: Tenant) -> None:
    """Raise Refused for parameters of a driver, which acts on nodes that all share."""
    devices: Object = (claim.get("spec") or {}).get("devices") or {}
    allowed = tenant.sync.opaque_configuration_drivers
    for index, entry in enumerate(devices.get("config") or ()):
        field = f"spec.devices.config[{index}]"
        if unknown := entry.keys() - KNOWN_CONFIGURATION:
            message = f"{', '.join(sorted(unknown))}: what it does is not known here; remove it"
            raise Refused(field, "NotServed", message)
        driver = (entry.get("opaque") or {}).get("driver", "")
        if driver not in allowed:
            raise Refused(
                f"{field}.opaque.driver",
                "NotAllowed",
                f"{driver!r} may not be given parameters; allowed: {', '.join(allowed) or 'none'}",
            )


def _is_pod(consumer: Object) -> bool:
    return (consumer.get("apiGroup") or "", consumer.get("resource")) == ("", "pods")


def _ended(pods: Pods) -> Callable[[Object], bool]:
    """Whether the tenant's controller takes a consumer away by itself."""
    return lambda one: _is_pod(one) and not pods.stays(one["name"], one["uid"])


def _devices_of(allocation: Object) -> list[tuple[str, ...]]:
    fields = ("request", "driver", "pool", "device", "shareID")
    results = (allocation.get("devices") or {}).get("results") or ()
    return [tuple(result.get(field) or "" for field in fields) for result in results]


def _without_class_configuration(allocation: Object) -> Object:
    """The provider's parameters of a class are its own business, as in the class itself."""
    devices: Object = allocation.get("devices") or {}
    if "config" not in devices:
        return allocation
    own = [entry for entry in devices["config"] if entry.get("source") != "FromClass"]
    others = {field: value for field, value in devices.items() if field != "config"}
    return allocation | {"devices": others | ({"config": own} if own else {})}


RESOURCE_CLAIM = DownwardKind(
    resource=RESOURCE_CLAIMS,
    to_super=to_super,
    patch=patch_beside_spec,
    to_tenant=to_tenant,
    admitted=admitted,
    consumers=consumers,
    enabled=lambda tenant: tenant.sync.resource_claims,
)
