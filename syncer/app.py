"""The syncer's life, from top to bottom: start here."""

import asyncio
import gc
from collections.abc import Callable, Iterator

import structlog
from prometheus_client import Counter, Histogram

from kube.client import Client
from kube.connection import CredentialSource
from kube.errors import ApiError, Unreachable
from kube.http2.transport import transport_for
from kube.objects import ObjectKey
from kube.resources import PODS
from kube.transport import Transport
from syncer import buckets, metrics
from syncer.kinds import downward_kinds, upward_kinds
from syncer.kinds.network_policy import Ranges
from syncer.membership.fence import FencedTransport
from syncer.membership.members import Membership
from syncer.membership.turn import Turn
from syncer.reconcilers import quota_report
from syncer.reconcilers.downward import DownwardReconciler
from syncer.reconcilers.isolation import Isolation
from syncer.reconcilers.pod_downward import PodDownward
from syncer.reconcilers.upward import UpwardReconciler
from syncer.runtime.controller import Controller
from syncer.runtime.fair_transport import FairTransport
from syncer.runtime.health import health_server
from syncer.runtime.history import HistoryLost
from syncer.runtime.workqueue import Request, WorkQueue
from syncer.sessions import Sessions
from syncer.settings import Settings, host_name
from syncer.super_state import SuperState
from syncer.super_watches import SuperWatches
from syncer.tenants import Tenants

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
LEAVE_SECONDS = 5.0
"""At most so long tenants are handed over at the end; then the Lease has to expire."""


class App:
    """Everything that runs in one syncer process."""

    def __init__(self, settings: Settings, credentials: CredentialSource) -> None:
        self._settings = settings
        transport = transport_for(credentials)
        self._membership = _membership(settings, transport, self._note)
        fence = self._membership.fence
        self._down = WorkQueue(settings.tenant_inflight)
        self._up = WorkQueue(settings.tenant_inflight)
        fenced = FencedTransport(transport, fence)
        most, most_held = settings.super_inflight, settings.workers * 3 // 4
        self._fair_transport = FairTransport(
            fenced, most, most_held, self._down.weight, metrics.TURN_WAIT.observe
        )
        self._client = Client(self._fair_transport, settings.request_timeout)
        kinds = downward_kinds(settings.denied, settings.pods, settings.gateway_address)
        shown = upward_kinds(settings.node_agent_port)
        self._turn = Turn(
            self._client,
            settings.namespace,
            self._membership.process,
            self._membership.is_over,
            settings.request_timeout + 1,
        )
        self._super = SuperState(self._client, self._down, self._up, kinds, shown, self._turn)
        self._tenants = Tenants(self._client)
        self._changed = self._tenants.changed
        self._told_to_leave = asyncio.Event()
        self._settled = False
        self._observers = {name: _Observer(name) for name in ("down", "up")}
        self._controllers = list(self._make_controllers())
        self._watches = SuperWatches(self._client, self._super, self._recovered)
        self._common_informers = [
            *self._watches.published,
            *self._tenants.informers,
            self._turn.informer,
        ]
        self._sessions = Sessions(
            self._tenants, self._super, self._watches, settings, fence, self._forget
        )

    async def run(self) -> None:
        """Mirror the tenants that are ours until cancelled, or until told to leave.

        Raises a group with HistoryLost when a new process has to begin anew.
        """
        settings = self._settings
        served = health_server(
            settings.address,
            settings.port,
            settings.port_file,
            self.problems,
            metrics.REGISTRY,
            self._refresh_metrics,
        )
        try:
            async with served as port, asyncio.TaskGroup() as tasks:
                log.info(
                    "serving", address=settings.address, port=port, member=self._membership.name
                )
                tasks.create_task(self._membership.run())
                tasks.create_task(self._trust())
                mirroring = tasks.create_task(self._mirror(tasks))
                await self._told_to_leave.wait()
                mirroring.cancel()
                await asyncio.wait([mirroring])
                await self._hand_over()
                raise _Left
        except* _Left:
            log.info("left", member=self._membership.name)
        finally:
            await self._client.close()

    async def _trust(self) -> None:
        """Raise HistoryLost when what is known of the super cluster turns out to be void."""
        await self._super.history.lost()
        raise HistoryLost("the super cluster's objects are older than they were")

    def _note(self) -> None:
        self._changed.set()

    def _recovered(self) -> None:
        """The super cluster answers after a failure: what has failed besides is tried now."""
        for informer in self._common_informers:
            informer.hurry()
        for queue in (self._down, self._up):
            queue.hurry()

    def leave(self) -> None:
        """Hand all tenants over to the other members and end ``run``, within some seconds."""
        self._told_to_leave.set()

    async def _mirror(self, tasks: asyncio.TaskGroup) -> None:
        for informer in self._common_informers:
            tasks.create_task(informer.run())
        for informer in (*self._common_informers, *self._membership.informers):
            await informer.synced.wait()
        for controller in self._controllers:
            tasks.create_task(controller.run())
        admission = self._super.admission
        tasks.create_task(self._turn.run(admission, lambda: admission.seen, self._watches.catch_up))
        while True:
            self._changed.clear()
            try:
                await self._settle(tasks)
            except (ApiError, Unreachable) as error:
                log.info("not settled", reason=str(error))
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._changed.set)
            await self._changed.wait()

    async def _settle(self, tasks: asyncio.TaskGroup) -> None:
        """Bring buckets, watches and sessions to what members and tenants there are."""
        membership, sessions = self._membership, self._sessions
        if was_closed := not membership.fence.is_open:
            sessions.suspend(True)
            await self._turn.pause(lead=False)
            if not await membership.reclaim():
                return  # we are called once the Lease is renewed
        share = membership.share()
        await sessions.keep(membership.held & share)
        if not membership.resume():
            return
        if share != membership.held:
            await self._turn.pause(lead=membership.held == buckets.ALL)
        await membership.exchange(share)
        if await self._watches.select(membership.held, tasks):
            self._super.admission.keep_room()
            asyncio.get_running_loop().call_later(
                self._settings.reconciliation_timeout * 3, self._super.admission.let_go
            )
        self._turn.resume(self._super.admission, alone=membership.held == buckets.ALL)
        sessions.start(membership.held, tasks)
        sessions.suspend(False)
        if was_closed:
            self._recovered()
        if not self._settled and membership.held == share:
            self._settled = True
            log.info("super cluster in step", pods=len(self._super.pods))
            _settle_garbage_collector()

    async def _hand_over(self) -> None:
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._sessions.keep(frozenset())
                await self._turn.leave()
                await self._membership.leave()
        except (TimeoutError, ApiError, Unreachable) as error:
            log.warning("left without notice: the Lease has to expire", reason=str(error))

    def _forget(self, tenant: str, gone: bool) -> None:
        if gone:
            self._super.admission.forget(tenant)
        for controller in self._controllers:
            controller.forget(tenant)
        for observer in self._observers.values():
            observer.latest.pop(tenant, None)

    def _make_controllers(self) -> Iterator[Controller]:
        settings = self._settings
        pods = PodDownward(self._super, settings.hosts_image)
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

    @property
    def idle(self) -> bool:
        """Nothing is to be worked on now; what was put off does not count."""
        return self._down.idle and self._up.idle

    @property
    def super_pods(self) -> int:
        """How many super pods this syncer knows."""
        return len(self._super.pods)

    def depths(self, tenant: str) -> tuple[int, int]:
        """How many requests of the tenant wait, downward and upward."""
        return self._down.depth(tenant), self._up.depth(tenant)

    def problems(self) -> list[str]:
        """What keeps this syncer from being ready, in words."""
        if not self._membership.fence.is_open:
            return ["this syncer's Lease is not renewed: it writes nothing"]
        if not self._settled:
            return ["other syncers still hold what is this one's, or its objects are not all known"]
        return [
            f"tenant {key}: its objects are not all known yet"
            for key, session in self._sessions.current.items()
            if not session.synced and not session.held
        ]

    def _refresh_metrics(self) -> None:
        sessions, membership = self._sessions.current, self._membership
        metrics.MEMBERS.set(len(membership.alive()))
        metrics.BUCKETS.set(len(membership.held))
        metrics.LEASE.set(int(membership.fence.is_open))
        metrics.TURNS.set(self._fair_transport.limit)
        for key, session in sessions.items():
            for direction, depth in zip(("down", "up"), self.depths(key), strict=True):
                metrics.DEPTH.labels(key, direction).set(depth)
            metrics.TURNS_WAITING.labels(key).set(self._fair_transport.waiting(key))
            metrics.PODS.labels(key).set(len(session.state.pods))
            quota_report.measure(session.state)
            for direction, observer in self._observers.items():
                if key in observer.latest:
                    metrics.TENANT_DELAY.labels(key, direction).set(observer.latest[key])
        totals: dict[tuple[str, str, str], int] = {}
        clients = [("super", self._client)]
        clients += [("tenant", session.client) for session in sessions.values()]
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


class _Left(Exception):
    """The end of ``run`` after a hand-over."""


def _membership(
    settings: Settings, transport: Transport, changed: Callable[[], None]
) -> Membership:
    deadline = settings.lease_seconds - settings.request_timeout - 1
    # Not fenced: it opens the fence. Its requests must not take longer than the Lease allows.
    timeout = min(settings.request_timeout, deadline / 2)
    client = Client(transport, timeout, longest_wait=timeout / 2)
    key = ObjectKey(settings.namespace, settings.member or host_name())
    return Membership(client, key, settings.lease_seconds, deadline, changed)


def _settle_garbage_collector() -> None:
    """What lives for ever need not be looked at again (docs/decisions/0002)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
