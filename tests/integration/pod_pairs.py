"""Pods in two parts on one real API server: the tenant's pod and its mirror."""

from typing import Any

from kube.client import Client, Patch
from kube.objects import Object, ObjectKey, decode_object, encode, key_of
from kube.resources import PODS
from syncer.kinds.offers import Offers
from syncer.kinds.pod import to_super
from syncer.kinds.pod_update import patches
from vcluster.api import Policy, Tenant

TENANT = Tenant(
    key="pods-0a1b2c3d",
    name="pods",
    namespace="tenants",
    uid="11111111-1111-1111-1111-111111111111",
    service_cidr="10.199.8.0/24",
    policy=Policy(pod_security="privileged"),
    node_selector={"of-the-pool": "yes"},
)
"""No node is in its pool, so that no pod of these tests runs."""
ABOVE = "pods-above"
"""The namespace that plays the tenant's part."""
OFFERS = Offers(frozenset({"pods-batch"}), {"pods-sandbox": "runsc"})


class Pair:
    """A pod in both of its parts, patched as the syncer does it."""

    def __init__(self, client: Client, pod: Object, mirror: Object) -> None:
        self.client = client
        self.pod, self.mirror = pod, mirror

    async def change(self, body: Object, subresource: str = "") -> list[str]:
        """The tenant's part changes and the mirror follows; which subresources were patched."""
        self.pod = await self._patch(self.pod, body, subresource)
        return await self.follow()

    async def follow(self) -> list[str]:
        """Bring the mirror to what the tenant's pod says."""
        found = patches(self.mirror, self.pod, TENANT, OFFERS)
        for patch in found:
            self.mirror = await self._patch(self.mirror, patch.body, patch.subresource)
        return [patch.subresource for patch in found]

    async def change_below(self, body: Object) -> None:
        """Somebody in the super cluster changes the mirror."""
        self.mirror = await self._patch(self.mirror, body, "")

    async def _patch(self, pod: Object, body: Object, subresource: str) -> Object:
        return decode_object(
            await self.client.patch(PODS, key_of(pod), Patch.STRATEGIC, encode(body), subresource)
        )


async def a_pair(client: Client, pod: Object, *, gate_below: str = "") -> Pair:
    """The pod as the tenant's API server stores it, and its mirror; a webhook may add a gate."""
    stored = decode_object(await client.create(PODS, ObjectKey(ABOVE, ""), encode(pod)))
    wanted = to_super(stored, TENANT, OFFERS)
    if gate_below:
        gates = [*wanted["spec"].get("schedulingGates", ()), {"name": gate_below}]
        wanted["spec"]["schedulingGates"] = gates
    key = ObjectKey(wanted["metadata"]["namespace"], "")
    return Pair(client, stored, decode_object(await client.create(PODS, key, encode(wanted))))


def a_pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A pod of the tenant's; as in a tenant, no scheduler of its cluster cares for it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": ABOVE, "labels": labels or {}},
        "spec": {"containers": [a_container()], "schedulerName": "nobody", **spec},
    }


def a_container(name: str = "main", **fields: Any) -> Object:
    """A container."""
    return {"name": name, "image": "example.com/main:1", **fields}
