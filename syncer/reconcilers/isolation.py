"""Keeps each super namespace apart from other tenants' in the network (kinds/isolation.py)."""

from kube.client import Patch
from kube.errors import Conflict, NotFound
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import NAMESPACES, NETWORK_POLICIES
from syncer.kinds import isolation
from syncer.kinds.network_policy import PEERS, Ranges
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from vcluster import api


class Isolation:
    """Brings the policies of one super namespace to what the tenant's own leave over."""

    def __init__(self, super_state: SuperState, ranges: Ranges) -> None:
        self._super = super_state
        self._ranges = ranges
        self._mirrors = super_state.mirrors[NETWORK_POLICIES.plural]

    async def reconcile(self, state: TenantState, namespace: str) -> None:
        """Asked before and after each change of a policy, so that no pod is without one for long."""
        key = state.mirror_key(NAMESPACES.plural, ObjectKey("", namespace))
        mirror = self._super.mirrors[NAMESPACES.plural].get(key)
        if mirror is None or mirror.deleting or mirror.tenant != state.tenant.key:
            return
        own = self._own(state, namespace)
        wanted = {
            policy["metadata"]["name"]: policy
            for policy in isolation.policies(key.name, state.tenant, own, self._ranges)
        }
        for name in (name for direction in PEERS for name in isolation.names(direction)):
            await self._bring(ObjectKey(key.name, name), wanted.get(name))

    def forget(self, super_namespace: str) -> None:
        """Its policies went with it, whether their own watch has said so or not: another one has none."""
        self._mirrors.drop(
            lambda key, entry: (
                key.namespace == super_namespace and entry.component == isolation.COMPONENT
            )
        )

    def _own(self, state: TenantState, namespace: str) -> list[Object]:
        """What the tenant's policies are below, and still shall be."""
        keys = [
            state.mirror_key(NETWORK_POLICIES.plural, key)
            for key in state.sources[NETWORK_POLICIES.plural].keys()
            if key.namespace == namespace
        ]
        mirrors = (self._mirrors.get(key) for key in keys)
        return [
            decode_object(mirror.raw).get("spec") or {}
            for mirror in mirrors
            if mirror is not None and mirror.source_uid
        ]

    async def _bring(self, key: ObjectKey, wanted: Object | None) -> None:
        there = self._mirrors.get(key)
        client = self._super.client
        if wanted is None:
            if there is not None:
                try:
                    await client.delete(NETWORK_POLICIES, key, uid=there.uid)
                except (NotFound, Conflict):
                    pass  # gone, or another one already
        elif there is None or there.digest != _digest(wanted):
            self._mirrors.put(
                await client.patch(NETWORK_POLICIES, key, Patch.APPLY, encode(wanted))
            )


def _digest(policy: Object) -> str:
    mark: str = policy["metadata"]["annotations"][api.DIGEST_ANNOTATION]
    return mark
