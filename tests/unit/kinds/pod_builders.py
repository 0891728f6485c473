"""Pods to translate, of which a test names only what it is about."""

from typing import Any

from kube.objects import Object
from syncer.kinds.offers import Offers
from syncer.kinds.pod import to_super
from tests.fakes.patches import strategic_patch
from tests.unit.kinds.builders import ACME, SUPER_UID, metadata
from vcluster.api import Tenant

OFFERS = Offers(frozenset({"batch"}), {"gvisor": "runsc"})
NOTHING_OFFERED = Offers()


def a_pod(*, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A tenant's pod ``shop`` in the namespace ``web``, as its API server has defaulted it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata("shop", generation=1, **({"labels": labels} if labels else {})),
        "spec": {"containers": [a_container()], "dnsPolicy": "Default", **spec},
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def a_container(name: str = "main", **fields: Any) -> Object:
    """A container."""
    return {"name": name, "image": "example.com/main:1", **fields}


def down(pod: Object, tenant: Tenant = ACME, offers: Offers = OFFERS) -> Object:
    """The super pod's spec."""
    spec: Object = to_super(pod, tenant, offers)["spec"]
    return spec


def live_mirror(pod: Object, tenant: Tenant = ACME) -> Object:
    """The super pod as the super cluster has it after creation."""
    wanted = to_super(pod, tenant, OFFERS)
    given = {"uid": SUPER_UID, "resourceVersion": "9", "generation": 1}
    return wanted | {"metadata": wanted["metadata"] | given}


def patched(live: Object, body: Object) -> Object:
    """What an API server makes of a strategic merge patch."""
    result: Object = strategic_patch(live, body)
    return result
