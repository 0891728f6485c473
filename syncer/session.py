"""All that runs for one tenant: informers, patrol, token renewal, probes."""

import asyncio
import heapq
import math
import time
from contextlib import suppress

import structlog

from kube.client import Client
from kube.connection import CredentialSource
from kube.errors import ApiError, Unreachable
from kube.http2.transport import transport_for
from kube.objects import ObjectKey
from kube.quantities import nanos
from kube.resources import PODS, SECRETS
from syncer import metrics, patrol
from syncer.admission.ledger import Item
from syncer.membership.fence import Fence, FencedTransport
from syncer.reconcilers import tokens
from syncer.reconcilers.stock import take_stock, take_stock_of_own
from syncer.runtime.breaker import CircuitBreaker
from syncer.runtime.clock import WallClock
from syncer.runtime.fair_transport import on_behalf_of
from syncer.runtime.informer import Informer
from syncer.settings import Settings
from syncer.super_state import MASS_KINDS, TOKEN_COMPONENT, SuperState
from syncer.tenant_state import TenantState
from vcluster.api import Tenant

log = structlog.get_logger(__name__)

RENEWAL_CHECK_SECONDS = 5.0
RENEWAL_RETRY_SECONDS = 20.0
RENEWALS_AT_ONCE = 3
RENEWALS_IN_A_ROW = 30
"""Then those that have become due meanwhile have their turn: a certificate may have been issued."""


class Session:
    """One tenant's mirror, from its first list to its end.

    The tenant's requests are held back until both sides are known: what is missing from a cache that
    is not filled must never be taken for deleted.
    """

    def __init__(
        self,
        tenant: Tenant,
        credentials: CredentialSource,
        super_state: SuperState,
        settings: Settings,
        fence: Fence,
    ) -> None:
        self._tenant = tenant
        self._super = super_state
        self._settings = settings
        self._fence = fence
        self._breaker = CircuitBreaker(self._probe, self._hold, self._answers_again)
        transport = FencedTransport(transport_for(credentials), fence)
        client = Client(transport, settings.request_timeout, self._observe)
        self._probing = Client(transport, settings.request_timeout)
        self._state = TenantState(tenant, client, super_state)
        self._informers = self._make_informers()
        self._synced = False
        self._suspended = False
        self._doubts: list[Item] = []

    @property
    def synced(self) -> bool:
        """The caches are filled, and requests are worked on."""
        return self._synced

    @property
    def held(self) -> bool:
        """The tenant's API server does not answer and is only probed."""
        return self._breaker.is_open

    @property
    def client(self) -> Client:
        """The client of the tenant's API server, for its counters."""
        return self._state.client

    @property
    def state(self) -> TenantState:
        """What is known of the tenant."""
        return self._state

    def suspend(self, suspended: bool) -> None:
        """Hold everything back while this syncer must not write, and let it go on then."""
        if suspended is not self._suspended:
            self._suspended = suspended
            self._hold()

    def hurry(self) -> None:
        """There is reason to believe that the tenant's API server answers now, and answers us."""
        self._breaker.hurry()
        for informer in self._informers:
            informer.hurry()

    async def run(self) -> None:
        """Mirror until cancelled. Raises when something fails that a new session may cure.

        When it ends, nothing of the tenant is worked on any more.
        """
        key = self._tenant.key
        self._super.tenants[key] = self._state
        hard = {name: nanos(amount) for name, amount in self._tenant.quota.items()}
        ledger = self._super.admission.open(key, hard)
        self._doubts = ledger.reserved() if ledger else []
        self._hold()
        for queue in (self._super.down, self._super.up):
            queue.set_weight(key, self._tenant.weight)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._breaker.run())
                for informer in self._informers:
                    tasks.create_task(informer.run())
                for informer in self._informers:
                    await informer.synced.wait()
                await self._in_step(tasks)
        finally:
            self._leave()
            await self._state.client.close()  # what is under way fails soon
            for queue in (self._super.down, self._super.up):
                await queue.drained(key)
            await self._state.client.close()  # what it has opened meanwhile

    async def _in_step(self, tasks: asyncio.TaskGroup) -> None:
        await self._retried(take_stock)
        await self._retried(take_stock_of_own)
        await self._retried(patrol.pods)
        await self._retried(patrol.events)
        for plural, kind in self._super.upward.items():
            if not kind.enabled(self._tenant):
                continue
            for name in self._state.published_names(plural):
                self._super.up.add(self._state.request(plural, ObjectKey("", name)))
        for plural, store in self._super.mirrors.items():
            for key, entry in store.items():
                if entry.tenant != self._tenant.key:
                    continue
                if entry.component == TOKEN_COMPONENT:
                    self._state.token_found(key, entry)
                else:
                    self._super.down.add(self._state.request(plural, entry.source))
        self._synced = True
        metrics.SYNCED.labels(self._tenant.key).set(1)
        self._hold()
        log.info("tenant in step", tenant=self._tenant.key, pods=len(self._state.pods))
        tasks.create_task(self._renewals())
        tasks.create_task(self._patrols())
        tasks.create_task(self._settle_admission())

    def _make_informers(self) -> list[Informer]:
        state = self._state
        found = [
            Informer(
                state.client,
                kind.resource,
                state.sources[plural],
                metadata_only=plural in MASS_KINDS,
                optional=kind.by_definition,
                on_recovery=self._recovered,
            )
            for plural, kind in self._super.downward.items()
            if kind.enabled(self._tenant)
        ]
        found.append(Informer(state.client, PODS, state.pods, on_recovery=self._recovered))
        found += [
            Informer(
                state.client,
                kind.resource,
                state.copies[plural],
                metadata_only=kind.metadata_only,
                optional=kind.by_definition,
                on_recovery=self._recovered,
            )
            for plural, kind in self._super.upward.items()
            if kind.enabled(self._tenant)
        ]
        return found

    def _hold(self) -> None:
        """Hand out the tenant's requests only while they can be worked on."""
        key = self._tenant.key
        held = self._breaker.is_open or not self._synced or self._suspended
        metrics.BREAKER.labels(key).set(int(self._breaker.is_open))
        for queue in (self._super.down, self._super.up):
            if held:
                queue.pause(key)
            else:
                queue.resume(key)
        if self._breaker.is_open:
            log.warning("tenant does not answer: held back and probed", tenant=key)

    def _answers_again(self) -> None:
        self._hold()
        self._recovered()

    def _recovered(self) -> None:
        """Something was answered after a failure: what has failed besides need not wait out its turn."""
        self.hurry()
        for queue in (self._super.down, self._super.up):
            queue.hurry(self._tenant.key)

    def _observe(self, answered: bool) -> None:
        if (
            answered or self._fence.is_open
        ):  # what we were not allowed to ask is not the tenant's fault
            self._breaker.observe(answered)

    async def _probe(self) -> None:
        await self._probing.ready()

    async def _patrols(self) -> None:
        on_behalf_of.set(self._tenant.key)
        while True:
            await asyncio.sleep(self._settings.patrol_seconds)
            if self._breaker.is_open or self._suspended:
                continue
            try:
                await patrol.everything(self._state)
            except (ApiError, Unreachable) as error:
                log.info("patrol interrupted", tenant=self._tenant.key, reason=str(error))

    async def _settle_admission(self) -> None:
        """What an earlier session had under way has ended when its workers must have."""
        await asyncio.sleep(self._settings.reconciliation_timeout)
        self._super.admission.drop(self._tenant.key, self._doubts)
        self._super.admission.let_go(self._tenant.key)

    async def _retried(self, step: patrol.Step) -> None:
        """The first comparison has to succeed before anything is decided."""
        while True:
            try:
                await step(self._state)
            except (ApiError, Unreachable) as error:
                log.info("first comparison failed", tenant=self._tenant.key, reason=str(error))
                await asyncio.sleep(1.0)
            else:
                return

    async def _renewals(self) -> None:
        on_behalf_of.set(self._tenant.key)
        clock = WallClock()
        while True:
            if back := clock.set_back():
                # Tokens end by the API server's clock, which was not set back for that. Once too early
                # is no harm; forward needs nothing: it is early too.
                log.warning("the clock was set back", seconds=back)
                self._state.renewals.advance(back)
            self._state.renewals.sooner.clear()
            await self._renew_due()
            await self._rest()

    async def _renew_due(self) -> None:
        renewals, now = self._state.renewals, time.time()
        due = [key for key, at in renewals.items() if at <= now]
        some = iter(heapq.nsmallest(RENEWALS_IN_A_ROW, due, key=renewals.__getitem__))

        async def one_by_one() -> None:
            for key in some:
                await self._renew(key)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(RENEWALS_AT_ONCE):
                tasks.create_task(one_by_one())

    async def _rest(self) -> None:
        """Until the next renewal is due."""
        first = min(self._state.renewals.values(), default=math.inf)
        seconds = min(max(0.0, first - time.time()), RENEWAL_CHECK_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._state.renewals.sooner.wait()

    async def _renew(self, key: ObjectKey) -> None:
        renewals = self._state.renewals
        planned = renewals.get(key)
        due: float | None
        try:
            due = await tokens.renew(self._super, self._state, key)
        except (ApiError, Unreachable) as error:
            log.info("token not renewed", kind=SECRETS.plural, key=str(key), reason=str(error))
            due = time.time() + RENEWAL_RETRY_SECONDS
        if renewals.get(key) != planned:
            return  # it was lost meanwhile, and perhaps made anew: the newer plan holds
        if due is None:
            renewals.pop(key, None)
        else:
            renewals[key] = due

    def _leave(self) -> None:
        key = self._tenant.key
        self._synced = False
        if self._super.tenants.get(key) is self._state:
            del self._super.tenants[key]
        self._super.admission.close(key)
        self._super.down.forget(key)
        self._super.up.forget(key)
        self._super.forget(key)
        metrics.forget(key)
