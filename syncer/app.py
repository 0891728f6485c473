"""The syncer's life, from top to bottom: start here."""

import asyncio
import gc
from collections.abc import Iterator

import structlog
from prometheus_client import Counter, Histogram

from kube.client import Client
from kube.connection import CredentialSource, FixedCredentials, InvalidKubeconfig
from kube.errors import ApiError, Unreachable
from kube.http2.transport import transport_for
from kube.resources import EVENTS, PODS
from syncer import metrics
from syncer.health import HealthServer
from syncer.kinds import downward_kinds
from syncer.kinds.network_policy import Ranges
from syncer.reconcilers import quota_report
from syncer.reconcilers.downward import DownwardReconciler
from syncer.reconcilers.isolation import Isolation
from syncer.reconcilers.pod_downward import PodDownward
from syncer.reconcilers.upward import UpwardReconciler
from syncer.runtime.controller import Controller, backoff
from syncer.runtime.informer import Informer
from syncer.runtime.workqueue import Request, WorkQueue
from syncer.session import Session
from syncer.settings import Settings
from syncer.super_state import MASS_KINDS, UPWARD_KINDS, SuperState
from syncer.tenants import Tenants, fingerprint
from vcluster import api
from vcluster.api import Tenant

log = structlog.get_logger(__name__)


class App:
    """Everything that runs in one syncer process."""

    def __init__(self, settings: Settings, credentials: CredentialSource) -> None:
        self._settings = settings
        self._client = Client(transport_for(credentials), settings.request_timeout)
        self._down = WorkQueue(settings.tenant_inflight)
        self._up = WorkQueue(settings.tenant_inflight)
        kinds = downward_kinds(settings.denied, settings.pods, settings.gateway_address)
        self._super = SuperState(self._client, self._down, self._up, kinds)
        self._tenants = Tenants(self._client)
        self._sessions: dict[str, Session] = {}
        self._observers = {name: _Observer(name) for name in ("down", "up")}
        self._controllers = list(self._make_controllers())
        self._informers = [*self._super_informers(), *self._tenants.informers]

    async def run(self) -> None:
        """Mirror every tenant until cancelled."""
        health = HealthServer(list, self._not_ready, self._refresh_metrics)
        settings = self._settings
        port = await health.start(settings.address, settings.port, settings.port_file)
        log.info("serving", address=settings.address, port=port)
        try:
            async with asyncio.TaskGroup() as tasks:
                for informer in self._informers:
                    tasks.create_task(informer.run())
                for informer in self._informers:
                    await informer.synced.wait()
                log.info("super cluster in step", pods=len(self._super.pods))
                self._super.admission.keep_room()
                tasks.create_task(self._let_go())
                for controller in self._controllers:
                    tasks.create_task(controller.run())
                _settle_garbage_collector()
                await self._follow_tenants(tasks)
        finally:
            await health.stop()
            await self._client.close()

    async def _let_go(self) -> None:
        """Gangs of tenants that are not in step by now keep no room from others any longer."""
        await asyncio.sleep(self._settings.reconciliation_timeout * 3)
        self._super.admission.let_go()

    async def _follow_tenants(self, tasks: asyncio.TaskGroup) -> None:
        running: dict[str, tuple[str, asyncio.Task[None]]] = {}
        while True:
            self._tenants.changed.clear()
            wanted = {tenant.key: (tenant, mark) for tenant, mark in self._tenants.wanted()}
            for key, (mark, task) in list(running.items()):
                if key not in wanted or fingerprint(*wanted[key]) != mark:
                    del running[key]
                    task.cancel()
                    await asyncio.wait([task])  # never two sessions of one tenant at once
                    for controller in self._controllers:
                        controller.forget(key)
                    if key not in wanted:
                        self._super.admission.forget(key)
            for key, (tenant, credentials) in wanted.items():
                if key not in running:
                    task = tasks.create_task(self._supervise(tenant))
                    running[key] = fingerprint(tenant, credentials), task
            await self._tenants.changed.wait()

    async def _supervise(self, tenant: Tenant) -> None:
        """Keep one tenant's session running; its failures never reach another tenant."""
        failures = 0
        while True:
            try:
                credentials = await self._tenants.credentials(tenant)
                session = Session(
                    tenant, FixedCredentials(credentials), self._super, self._settings
                )
                self._sessions[tenant.key] = session
                async with asyncio.TaskGroup() as tasks:
                    reporting = tasks.create_task(self._report(tenant, session))
                    try:
                        await session.run()
                    finally:
                        reporting.cancel()
            except (InvalidKubeconfig, ApiError, Unreachable) as error:
                log.warning("no session", tenant=tenant.key, reason=str(error))
            except Exception:
                log.exception("session failed", tenant=tenant.key, failures=failures)
            finally:
                self._sessions.pop(tenant.key, None)
                for observer in self._observers.values():
                    observer.latest.pop(tenant.key, None)
            failures += 1
            await asyncio.sleep(backoff(failures))

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

    def _make_controllers(self) -> Iterator[Controller]:
        settings = self._settings
        pods = PodDownward(self._super)
        ranges = Ranges.parse(settings.pods, settings.denied, settings.gateway_address)
        isolation = Isolation(self._super, ranges)
        down = DownwardReconciler(self._super, pods.reconcile, isolation)
        for name, queue, reconcile in (
            ("down", self._down, down.reconcile),
            ("up", self._up, UpwardReconciler(self._super).reconcile),
        ):
            yield Controller(
                name,
                queue,
                reconcile,
                workers=settings.workers,
                timeout=settings.reconciliation_timeout,
                observe=self._observers[name],
            )

    def _super_informers(self) -> Iterator[Informer]:
        state = self._super
        for plural, kind in state.downward.items():
            yield Informer(
                self._client,
                kind.resource,
                state.mirrors[plural],
                label_selector=api.TENANT_LABEL,
                metadata_only=plural in MASS_KINDS,
            )
        yield Informer(self._client, PODS, state.pods, label_selector=api.TENANT_LABEL)
        yield Informer(self._client, EVENTS, state.events)
        for plural, published in UPWARD_KINDS.items():
            yield Informer(self._client, published.resource, state.published[plural])

    def _not_ready(self) -> list[str]:
        if not all(informer.synced.is_set() for informer in self._informers):
            return ["the super cluster's objects are not all known yet"]
        return [
            f"tenant {key}: its objects are not all known yet"
            for key, session in self._sessions.items()
            if not session.synced and not session.held
        ]

    def _refresh_metrics(self) -> None:
        for key, session in self._sessions.items():
            metrics.DEPTH.labels(key, "down").set(self._down.depth(key))
            metrics.DEPTH.labels(key, "up").set(self._up.depth(key))
            metrics.PODS.labels(key).set(len(session.state.pods))
            quota_report.measure(session.state)
            for direction, observer in self._observers.items():
                if key in observer.latest:
                    metrics.TENANT_DELAY.labels(key, direction).set(observer.latest[key])
        totals: dict[tuple[str, str, str], int] = {}
        clients = [("super", self._client)]
        clients += [("tenant", session.client) for session in self._sessions.values()]
        for side, client in clients:
            for (verb, kind), count in client.calls.items():
                totals[side, verb, kind] = totals.get((side, verb, kind), 0) + count
        for labels, total in totals.items():
            metrics.REQUESTS.labels(*labels).set(total)


class _Observer:
    """Feeds the metrics of one direction; children are kept, since looking them up costs more."""

    def __init__(self, direction: str) -> None:
        self._direction = direction
        self._wait = metrics.WAIT.labels(direction)
        self._outcomes: dict[tuple[str, str], Counter] = {}
        self._delays: dict[str, Histogram] = {}
        self.latest: dict[str, float] = {}
        """The delay of each tenant's last pod, in seconds."""

    def __call__(self, request: Request, outcome: str, waited: float, took: float) -> None:
        """See runtime.controller.Observer."""
        kind, direction = request.kind, self._direction
        counter = self._outcomes.get((kind, outcome))
        if counter is None:
            counter = metrics.RECONCILIATIONS.labels(direction, kind, outcome)
            self._outcomes[kind, outcome] = counter
            self._delays.setdefault(kind, metrics.DELAY.labels(direction, kind))
        counter.inc()
        self._wait.observe(waited)
        if outcome == "ok":
            self._delays[kind].observe(waited + took)
            if kind == PODS.plural:
                self.latest[request.tenant] = waited + took


def _settle_garbage_collector() -> None:
    """What lives for ever need not be looked at again (docs/decisions/0002)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
