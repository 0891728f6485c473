"""The devices that a pod claims: by ResourceClaims, and by names of resources that stand for a class."""

from collections.abc import Collection

from kube.objects import Object
from syncer.kinds.classes import refuse_class
from syncer.kinds.mirror import Refused
from syncer.kinds.offers import Offers
from vcluster import api
from vcluster.api import Tenant


def claim_names(pod: Object) -> dict[str, str]:
    """The ResourceClaims of a pod by its own names for them; empty: there is none yet.

    Of a template the tenant's controller makes a claim, and says in the status what it is called.
    """
    made = {
        item["name"]: item.get("resourceClaimName") or ""
        for item in (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    }
    return {
        claim["name"]: claim.get("resourceClaimName") or made.get(claim["name"], "")
        for claim in pod["spec"].get("resourceClaims") or ()
    }


def waits_for_claims(pod: Object, tenant: Tenant) -> bool:
    """Claims of its templates are still to be made; then the pod's status changes."""
    return tenant.sync.resource_claims and "" in claim_names(pod).values()


def claims(pod: Object, tenant: Tenant) -> Object:
    """The field of the super pod that names its claims, each one directly. Raises Refused."""
    wanted = pod["spec"].get("resourceClaims")
    if not wanted:
        return {}
    names = claim_names(pod)
    if not tenant.sync.resource_claims:
        raise Refused(
            "spec.resourceClaims",
            "NotServed",
            f"{', '.join(map(repr, names))}: resource claims are not offered here; the provider can "
            "offer them (sync.resourceClaims of your class); else ask for devices by "
            "resources.limits, as in nvidia.com/gpu",
        )
    return {
        "resourceClaims": [
            {field: value for field, value in claim.items() if field != "resourceClaimTemplateName"}
            | {"resourceClaimName": names[claim["name"]]}
            for claim in wanted
        ]
    }


def refuse_classes(spec: Object, tenant: Tenant, offers: Offers) -> None:
    """Raise Refused for a resource whose name stands for a device class that is not offered.

    Of such a name the super cluster's scheduler makes a claim of that class by itself.
    """
    offered: Collection[str] = offers.device_classes if tenant.sync.resource_claims else ()
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            resources = container.get("resources") or {}
            for name in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}:
                if name.startswith(api.DEVICE_CLASS_RESOURCE_PREFIX):
                    device_class = name.removeprefix(api.DEVICE_CLASS_RESOURCE_PREFIX)
                    refuse_class(f"spec.{kind}[].resources[{name}]", device_class, offered)
