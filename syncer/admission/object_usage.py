"""What an object that is no pod counts for against a quota: the rules of ResourceQuota, in nanos."""

from types import MappingProxyType

from kube.objects import Object
from kube.quantities import NANOS, nanos
from kube.resources import PERSISTENT_VOLUME_CLAIMS, RESOURCE_CLAIMS, SERVICES, Resource
from syncer.admission.device_usage import Extended, claim_usage
from vcluster import api

PLAIN_COUNTS = frozenset({"configmaps", "secrets", "services", "persistentvolumeclaims"})
"""The kinds that ResourceQuota counts under their own name, besides ``count/...``."""


def object_usage(
    resource: Resource, obj: Object | None, extended: Extended = MappingProxyType({})
) -> dict[str, int]:
    """What an object counts for; it may be None where only its being there counts.

    ``extended``: the resources that stand for device classes.
    """
    group = f".{resource.group}" if resource.group else ""
    used = {f"count/{resource.plural}{group}": NANOS}
    if resource.plural in PLAIN_COUNTS:
        used[resource.plural] = NANOS
    if obj is None:
        return used
    if resource is SERVICES:
        used |= _service(obj["spec"])
    elif resource is PERSISTENT_VOLUME_CLAIMS:
        used |= _claim(obj)
    elif resource is RESOURCE_CLAIMS:
        used |= claim_usage(obj, extended)
    return used


def _service(spec: Object) -> dict[str, int]:
    ports = spec.get("ports") or ()
    kind = spec.get("type", "ClusterIP")
    if kind == "NodePort":
        return {"services.nodeports": len(ports) * NANOS}
    if kind != "LoadBalancer":
        return {}
    if spec.get("allocateLoadBalancerNodePorts") is False:
        ports = [port for port in ports if port.get("nodePort")]
    return {"services.loadbalancers": NANOS, "services.nodeports": len(ports) * NANOS}


def _claim(claim: Object) -> dict[str, int]:
    """As much as is asked for or, after a growth that was taken back, has been given already."""
    spec = claim["spec"]
    asked = nanos(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
    given = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage", "0")
    storage = max(asked, nanos(given))
    used = {"requests.storage": storage}
    if name := spec.get("storageClassName"):
        prefix = f"{name}{api.STORAGE_CLASS_QUOTA_SUFFIX}"
        used |= {f"{prefix}requests.storage": storage, f"{prefix}persistentvolumeclaims": NANOS}
    return used
