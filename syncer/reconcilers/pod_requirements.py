"""What has to be there before a super pod can be made, and what the tenant is told while it is not."""

from kube.objects import Object, ObjectKey
from kube.resources import PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_CLAIMS
from syncer.kinds.pod_claims import claim_names
from syncer.reconcilers.messages import no_place, tell
from syncer.super_state import SuperState
from syncer.tenant_state import TenantState
from syncer.usage import Waiting
from vcluster import api


class PodRequirements:
    """One for all tenants."""

    def __init__(self, super_state: SuperState) -> None:
        self._super = super_state

    async def of_new(self, state: TenantState, key: ObjectKey, pod: Object) -> None:
        """Raise Waiting for the first thing that a pod without a super pod needs, and that is not down."""
        await self._volumes(state, key, pod)
        await self.of_all(state, key, pod["metadata"]["uid"])
        await self._claims(state, key, pod)

    async def of_all(self, state: TenantState, key: ObjectKey, uid: str) -> None:
        """Raise Waiting for the first thing that the pod names and that is not down yet."""
        for reference in state.usage.of(key):
            used = ObjectKey(key.namespace, reference.name)
            if self._is_down(state, reference.kind, used):
                continue
            self._super.down.add(state.request(reference.kind, used))
            if reference.optional and state.sources[reference.kind].get(used) is None:
                continue
            if state.sources[reference.kind].get(used) is None and not _published_soon(used):
                kind = self._super.downward[reference.kind].resource.kind
                message = f"{kind} {reference.name!r} not found: the pod waits for it"
                await tell(state, PODS, key, uid, "FailedMount", message)
                if self._is_down(state, reference.kind, used):
                    continue  # it came meanwhile, when nobody was waiting yet
            raise Waiting(reference.kind, used)

    async def _volumes(self, state: TenantState, key: ObjectKey, pod: Object) -> None:
        """Of claims for volumes: each is there, and not being deleted.

        Schedulers refuse a pod for both, in these words (pkg/scheduler, plug-in VolumeBinding). That they
        are down is asked with all else.
        """
        plural = PERSISTENT_VOLUME_CLAIMS.plural
        for name in [item.name for item in state.usage.of(key) if item.kind == plural]:
            used = ObjectKey(key.namespace, name)
            if _stays(state, plural, used):
                continue
            said = "is being deleted" if state.sources[plural].get(used) else "not found"
            await no_place(state, key, pod, f'persistentvolumeclaim "{name}" {said}')
            if not _stays(state, plural, used):
                raise Waiting(plural, used)

    async def _claims(self, state: TenantState, key: ObjectKey, pod: Object) -> None:
        """Of claims for devices: each is down, and not being deleted.

        Asked only once: of a pod that has ended, the tenant's controller deletes the claims.
        """
        plural = RESOURCE_CLAIMS.plural
        for name in claim_names(pod).values():
            used = ObjectKey(key.namespace, name)
            if not _stays(state, plural, used):
                said = "is being deleted" if state.sources[plural].get(used) else "not found"
                message = f"ResourceClaim {name!r} {said}: the pod waits for one"
                await no_place(state, key, pod, message)
            if not _stays(state, plural, used) or not self._is_down(state, plural, used):
                raise Waiting(plural, used)

    def _is_down(self, state: TenantState, plural: str, key: ObjectKey) -> bool:
        """The object has its mirror; that of a predecessor of the same name is another's data."""
        mirror = self._super.mirrors[plural].get(state.mirror_key(plural, key))
        source = state.sources[plural].get(key)
        return mirror is not None and (source is None or mirror.source_uid == source.uid)


def _stays(state: TenantState, plural: str, key: ObjectKey) -> bool:
    """It is there; one that is being deleted may be followed by another one of that name."""
    source = state.sources[plural].get(key)
    return source is not None and not source.deleting


def _published_soon(key: ObjectKey) -> bool:
    """Every namespace gets this one from its controller-manager: no reason to alarm anybody."""
    return key.name == api.ROOT_CA_CONFIG_MAP
