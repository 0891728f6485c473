"""What happens to tenants: passes that bring them to what is wanted, or remove them."""

import asyncio

import structlog

from vcluster.api import Object
from vcluster.control_plane.cluster import ApiError, Unreachable
from vcluster.control_plane.plan import Plan
from vcluster.control_plane.reconcile import NotReady, NotWanted, Pass, Provider, is_deleting
from vcluster.control_plane.resources import VIRTUAL_CLUSTERS
from vcluster.control_plane.status import StatusRecord
from vcluster.control_plane.teardown import teardown
from vcluster.datastore.shared import DatastoreError
from vcluster.datastore.shares import Owner
from vcluster.operator.passes import Passes
from vcluster.supervision import SupervisionError

log = structlog.get_logger()

EXPECTED = (NotReady, ApiError, Unreachable, DatastoreError, SupervisionError)
"""What passes by itself: another try, no traceback."""


class Tenants:
    """What the handlers call. For one event loop."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._passes = Passes()
        self._changed: asyncio.Queue[Owner] = asyncio.Queue()

    async def reconcile(self, namespace: str, name: str, uid: str) -> None:
        """One pass. Raises NotReady, ApiError, Unreachable: come again soon."""
        try:
            await self._passes.run_in_two(
                uid,
                lambda: self._prepared(namespace, name, uid),
                lambda found: found[0].finish(found[1]),
            )
        except NotWanted:
            log.info("pass given up", namespace=namespace, name=name)

    async def reconcile_if_idle(self, namespace: str, name: str, uid: str) -> None:
        """As ``reconcile``, but nothing if a pass over this tenant runs already."""
        if not self._passes.runs(uid):
            await self.reconcile(namespace, name, uid)

    async def teardown(self, namespace: str, name: str, uid: str) -> list[str]:
        """One pass of removal; what is not gone yet."""
        remaining = await self._passes.run(uid, lambda: self._teardown(namespace, name, uid))
        if not remaining:
            self._passes.forget(uid)
        return remaining

    def level_changed(self, owner: Owner) -> None:
        """Its status is to say so, soon."""
        self._changed.put_nowait(owner)

    async def tell_levels(self) -> None:
        """Have a pass over each tenant whose level has changed. Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._tell(await self._changed.get()))

    async def _tell(self, owner: Owner) -> None:
        try:
            await self.reconcile(*owner)
        except EXPECTED as error:  # the next look will do
            log.info("level not told yet", tenant=owner.name, error=str(error))

    def stop(self) -> None:
        """Tell passes that wait for something to end."""
        self._provider.stopping.set()

    def close(self) -> None:
        """Return when no pass runs any more."""
        self.stop()
        self._passes.close()

    def _prepared(self, namespace: str, name: str, uid: str) -> tuple[Pass, Plan] | None:
        """A pass that has only the tenant's API server left to ask; None if there is nothing to do."""
        virtual_cluster = self._live(namespace, name, uid)
        if virtual_cluster is None or is_deleting(virtual_cluster):
            return None
        begun = Pass(self._provider, virtual_cluster)
        plan = begun.prepare()
        return (begun, plan) if plan is not None else None

    def _teardown(self, namespace: str, name: str, uid: str) -> list[str]:
        remaining = teardown(self._provider, name, uid)
        virtual_cluster = self._live(namespace, name, uid)
        if remaining and virtual_cluster is not None:
            StatusRecord.deleting(self._provider.cluster, virtual_cluster, remaining)
        return remaining

    def _live(self, namespace: str, name: str, uid: str) -> Object | None:
        """The object as it is now; None if it is gone, be it for another of the same name."""
        live = self._provider.cluster.get(VIRTUAL_CLUSTERS, name, namespace)
        return live if live and live["metadata"]["uid"] == uid else None
