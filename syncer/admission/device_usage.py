"""What claims for devices count for against a quota: the rules of ResourceQuota, in nanos.

After pkg/quota/v1/evaluator/core/resource_claims.go of Kubernetes 1.37. A device counts the same however
it is asked for: by a claim, or by the name of a resource that stands for its class.
"""

from collections.abc import Iterator, Mapping

from kube.objects import Object
from kube.quantities import NANOS
from vcluster import api

MOST_DEVICES = 32
"""What one claim can be given at most: it counts for as many where it does not say how many."""
Extended = Mapping[str, str]
"""By device class: the resource by whose name pods get devices of it."""


def claim_usage(claim: Object, extended: Extended) -> dict[str, int]:
    """What the devices of a claim count for; of alternatives the most of each class."""
    counts: dict[str, int] = {}
    devices: Object = (claim.get("spec") or {}).get("devices") or {}
    for request in devices.get("requests") or ():
        most: dict[str, int] = {}
        for name, number in _alternatives(request):
            most[name] = max(most.get(name, 0), number)
        for name, number in most.items():
            counts[name] = counts.get(name, 0) + number * NANOS
    return _by_all_names(counts, extended)


def extended_usage(requests: Mapping[str, int], extended: Extended) -> dict[str, int]:
    """What a pod's requests for such resources count for; empty if there are none.

    A name that stands for several classes counts for each of them, and once for itself.
    """
    counts: dict[str, int] = {}
    twice: dict[str, int] = {}
    for name, amount in requests.items():
        if name.startswith(api.DEVICE_CLASS_RESOURCE_PREFIX):
            classes = [name.removeprefix(api.DEVICE_CLASS_RESOURCE_PREFIX)]
        else:
            classes = [one for one, resource in extended.items() if resource == name]
            if len(classes) > 1:
                twice[f"requests.{name}"] = amount * (len(classes) - 1)
        for one in classes:
            counts[one] = counts.get(one, 0) + amount
    used = _by_all_names(counts, extended)
    return used | {key: used[key] - amount for key, amount in twice.items()}


def is_of_class(resource: str) -> bool:
    """A resource of a pod that no node has: the scheduler makes a claim of it."""
    return resource.startswith(api.DEVICE_CLASS_RESOURCE_PREFIX)


def _alternatives(request: Object) -> Iterator[tuple[str, int]]:
    for one in (
        [request["exactly"]] if "exactly" in request else request.get("firstAvailable") or ()
    ):
        exact = one.get("allocationMode", "ExactCount") == "ExactCount"
        yield one.get("deviceClassName", ""), one.get("count", 1) if exact else MOST_DEVICES


def _by_all_names(counts: Mapping[str, int], extended: Extended) -> dict[str, int]:
    used: dict[str, int] = {}
    for name, amount in counts.items():
        used[f"{name}{api.DEVICE_CLASS_QUOTA_SUFFIX}"] = amount
        used[f"requests.{api.DEVICE_CLASS_RESOURCE_PREFIX}{name}"] = amount
        if resource := extended.get(name):
            key = f"requests.{resource}"
            used[key] = used.get(key, 0) + amount
    return used
