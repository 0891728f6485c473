"""The sessions of the tenants that this syncer mirrors: one each, started, watched over and ended."""

import asyncio
from collections.abc import Callable

import structlog

from kube.connection import FixedCredentials, InvalidKubeconfig
from kube.errors import ApiError, Unreachable
from syncer.membership.fence import Fence
from syncer.reconcilers import quota_report
from syncer.runtime.controller import backoff
from syncer.runtime.history import history_lost
from syncer.session import Session
from syncer.settings import Settings
from syncer.super_state import SuperState
from syncer.super_watches import SuperWatches
from syncer.tenants import Tenants, fingerprint
from vcluster.api import Tenant

log = structlog.get_logger(__name__)


class Sessions:
    """``forget`` is called for each tenant whose session has ended, and whether it is ours no more."""

    def __init__(
        self,
        tenants: Tenants,
        super_state: SuperState,
        watches: SuperWatches,
        settings: Settings,
        fence: Fence,
        forget: Callable[[str, bool], None],
    ) -> None:
        self._tenants = tenants
        self._super = super_state
        self._watches = watches
        self._settings = settings
        self._fence = fence
        self._forget = forget
        self._known: dict[str, tuple[Tenant, str]] = {}
        self._ready: frozenset[tuple[str, str]] = frozenset()
        self._running: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self.current: dict[str, Session] = {}
        """By tenant key; one is missing for a moment while it fails and begins again."""

    async def keep(self, buckets: frozenset[int]) -> None:
        """End the sessions of tenants that are gone, changed, or not in these buckets."""
        self._known = {tenant.key: (tenant, mark) for tenant, mark in self._tenants.wanted()}
        self._hurry()
        wanted = self._wanted(buckets)
        ended = [
            key
            for key, (mark, _) in self._running.items()
            if key not in wanted or fingerprint(*wanted[key]) != mark
        ]
        tasks = [self._running[key][1] for key in ended]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        async with asyncio.TaskGroup() as reports:
            for key in ended:
                del self._running[key]
                self._forget(key, key not in wanted)
                if key in self._known:
                    reports.create_task(self._report_end(self._known[key][0]))

    def start(self, buckets: frozenset[int], tasks: asyncio.TaskGroup) -> None:
        """Start the missing sessions of tenants in these buckets, as far as ``keep`` has seen them."""
        for key, (tenant, credentials) in self._wanted(buckets).items():
            if key not in self._running:
                self._watches.follow(tenant.sync, tasks)
                task = tasks.create_task(self._supervise(tenant))
                self._running[key] = fingerprint(tenant, credentials), task

    def suspend(self, suspended: bool) -> None:
        """Hold all tenants back, or let them go on."""
        for session in self.current.values():
            session.suspend(suspended)

    def _hurry(self) -> None:
        """Tell the sessions of tenants that have just become ready: until then all was refused."""
        before, self._ready = self._ready, frozenset(self._tenants.ready.values())
        for key, _ in self._ready - before:
            if key in self.current:
                self.current[key].hurry()

    def _wanted(self, buckets: frozenset[int]) -> dict[str, tuple[Tenant, str]]:
        return {key: found for key, found in self._known.items() if int(found[0].bucket) in buckets}

    async def _supervise(self, tenant: Tenant) -> None:
        """Keep one tenant's session running; its failures never reach another tenant."""
        failures = 0
        while True:
            try:
                await self._watches.known(tenant.sync)
                credentials = await self._tenants.credentials(tenant)
                session = Session(
                    tenant,
                    FixedCredentials(credentials),
                    self._super,
                    self._settings,
                    self._fence,
                )
                self.current[tenant.key] = session
                async with asyncio.TaskGroup() as tasks:
                    reporting = tasks.create_task(self._report(tenant, session))
                    try:
                        await session.run()
                    finally:
                        reporting.cancel()
            except (InvalidKubeconfig, ApiError, Unreachable) as error:
                log.warning("no session", tenant=tenant.key, reason=str(error))
            except Exception as error:
                if (reason := history_lost(error)) is not None:
                    log.warning("session begins anew", tenant=tenant.key, reason=reason)
                else:
                    log.exception("session failed", tenant=tenant.key, failures=failures)
            finally:
                self.current.pop(tenant.key, None)
            failures += 1
            await asyncio.sleep(backoff(failures))

    async def _report_end(self, tenant: Tenant) -> None:
        message = "no syncer mirrors the tenant's objects at this moment"
        await self._tenants.report(
            tenant, syncing=False, reason="HandedOver", message=message, quota=None
        )

    async def _report(self, tenant: Tenant, session: Session) -> None:
        """Keep the condition Syncing true to what is."""
        while True:
            if session.held:
                reason, message = "NotAnswering", "the tenant's API server does not answer"
            elif not session.synced:
                reason, message = "Starting", "reading the tenant's objects"
            else:
                reason, message = "InStep", "the tenant's objects are mirrored"
            syncing = session.synced and not session.held
            quota = quota_report.figures_of(session.state)
            await self._tenants.report(
                tenant, syncing=syncing, reason=reason, message=message, quota=quota
            )
            if syncing:
                try:
                    await quota_report.publish(session.state, quota)
                except (ApiError, Unreachable) as error:
                    log.info("quota not published", tenant=tenant.key, reason=str(error))
            await asyncio.sleep(0.5 if not syncing else 2.0)
