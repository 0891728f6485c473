"""The main flow of the bench: every load once, on one system, in order of time."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from kube.client import Client
from kube.objects import ObjectKey
from tests.bench import audit, hung, load, memory, watching
from tests.bench.hung import Hung
from tests.bench.load import Pod, Target
from tests.bench.memory import Memory
from tests.bench.node import RealNode
from tests.bench.options import Options
from tests.bench.phases import Result, measured
from tests.bench.system import System, Tenant, create_namespace
from tests.bench.watching import PodWatch
from vcluster import api
from vcluster.control_plane.plan import KUBE_APISERVER

NAMESPACE = "bench"
WARM_PODS = 40
SUPER_SYNCER_USER = "virtualcluster:super-syncer"


@dataclass(slots=True, kw_only=True)
class Findings:
    """All that was measured."""

    memory: Memory = field(default_factory=Memory)
    tenant_ready: list[float] = field(default_factory=list)
    direct: list[Result] = field(default_factory=list)
    tenants: list[Result] = field(default_factory=list)
    paced_direct: Result = field(default_factory=lambda: Result(name="", pods=0))
    paced_tenants: Result = field(default_factory=lambda: Result(name="", pods=0))
    super_calls: audit.Calls = field(default_factory=audit.Calls)
    tenant_calls: audit.Calls = field(default_factory=audit.Calls)
    """The syncer's, during all bursts through the tenants."""
    status_writes: int = 0
    """Of the kubelets (kwok) to the super cluster, during the same bursts."""
    down: list[float] = field(default_factory=list)
    up: list[float] = field(default_factory=list)
    """Seconds that the syncer adds, by pod of the paced load."""
    hung: Hung | None = None
    real_node: RealNode = field(default_factory=RealNode)
    """On another system, before."""


class Bench:
    """One run on a system that is up."""

    def __init__(self, system: System, options: Options, say: Callable[[str], None]) -> None:
        self._system = system
        self._options = options
        self._say = say
        self._super_client = system.super_client()
        self._super_watch = PodWatch(self._super_client)
        self._tenants: list[Tenant] = []
        self._direct: list[Target] = []
        self._through: list[Target] = []
        self._findings = Findings()

    async def run(self) -> Findings:
        """All loads, one after the other."""
        try:
            await self._prepare()
            for number in range(self._options.rounds):
                await self._burst_direct(number)
                await self._burst_tenants(number)
            await self._pace_direct()
            await self._pace_tenants()
            await self._hang()
            self._say(f"memory with {self._options.memory_pods} pods")
            await memory.fill(
                self._system, self._through, self._options.memory_pods, self._findings.memory
            )
        finally:
            for client in (self._super_client, *(tenant.client for tenant in self._tenants)):
                await client.close()
        return self._findings

    async def _prepare(self) -> None:
        found = self._findings
        await self._system.calm()
        found.memory.bare = await self._system.usages()
        for number in range(self._options.tenants):
            tenant = await self._system.create_tenant(self._super_client, f"bench-{number}")
            self._tenants.append(tenant)
            found.tenant_ready.append(tenant.ready_seconds)
            self._say(f"tenant {tenant.name} ready after {tenant.ready_seconds:.1f} s")
        for number, tenant in enumerate(self._tenants):
            self._direct.append(
                await _target(self._super_client, self._super_watch, f"direct-{number}")
            )
            self._through.append(await _target(tenant.client, PodWatch(tenant.client), NAMESPACE))
        await self._system.calm()
        found.memory.idle, found.memory.tenants = await self._system.usages(), len(self._tenants)
        self._say("warming up")
        for targets in (self._direct, self._through):
            await self._load("warm-up", targets, "warm", WARM_PODS)

    async def _burst_direct(self, number: int) -> None:
        result = await self._load(
            "burst, direct", self._direct, f"burst-{number}", self._options.pods
        )
        self._findings.direct.append(result)
        self._tell(result)

    async def _burst_tenants(self, number: int) -> None:
        found = self._findings
        result = await self._load(
            "burst, tenants", self._through, f"burst-{number}", self._options.pods
        )
        found.tenants.append(result)
        self._tell(result)
        entries = audit.read(self._system.state.audit_log)
        first, last = result.first, result.last
        found.super_calls.update(audit.count(entries, SUPER_SYNCER_USER, first, last))
        found.status_writes += audit.status_writes(entries, first, last)
        for tenant in self._tenants:
            entries = audit.read(tenant.audit_log)
            found.tenant_calls.update(audit.count(entries, api.SYNCER_USER, first, last))

    async def _pace_direct(self) -> None:
        self._findings.paced_direct = result = await self._load(
            "paced, direct", self._direct, "paced", self._options.paced_pods, self._pace
        )
        self._tell(result)

    async def _pace_tenants(self) -> None:
        """The super cluster is watched too, so that both sides' moments are on one clock."""
        found = self._findings
        pods = load.spread(self._through, "paced", self._options.paced_pods)
        await self._system.calm()
        async with watching.following([self._super_watch, *_watches(self._through)]):
            result = await measured("paced, tenants", pods, self._pace, self._system.usages)
        found.paced_tenants = result
        found.down, found.up = self._delays(pods)
        self._tell(result)

    def _delays(self, pods: Sequence[Pod]) -> tuple[list[float], list[float]]:
        keys = {
            id(target): tenant.key
            for target, tenant in zip(self._through, self._tenants, strict=True)
        }
        down, up = [], []
        for pod in pods:
            namespace = api.super_namespace(keys[id(pod.target)], pod.target.namespace)
            below, above = self._super_watch.of(ObjectKey(namespace, pod.name)), pod.moments
            if below.added is not None and above.added is not None:
                down.append(below.added - above.added)
            if below.running is not None and above.running is not None:
                up.append(above.running - below.running)
        return down, up

    async def _hang(self) -> None:
        options = self._options
        self._say(f"a tenant's API server hangs for {options.hung_seconds:g} s")
        await self._system.calm()
        self._findings.hung = found = await hung.run(
            self._system.pid(self._tenants[0].key, KUBE_APISERVER),
            self._through[0],
            self._through[1],
            options.paced_rate,
            options.hung_seconds,
            self._system.usages,
            self._system.calm,
        )
        self._tell(found.baseline)
        self._tell(found.neighbour)
        self._say(f"  {found.waiting} pods waited; recovered after {found.recovery_seconds:.1f} s")

    async def _load(
        self,
        name: str,
        targets: Sequence[Target],
        prefix: str,
        number: int,
        create: Callable[[Sequence[Pod]], Awaitable[None]] = load.burst,
    ) -> Result:
        pods = load.spread(targets, prefix, number)
        await self._system.calm()
        async with watching.following(_watches(targets)):
            return await measured(name, pods, create, self._system.usages)

    async def _pace(self, pods: Sequence[Pod]) -> None:
        await load.paced(pods, self._options.paced_rate)

    def _tell(self, result: Result) -> None:
        self._say(result.summary())


async def _target(client: Client, watch: PodWatch, namespace: str) -> Target:
    await create_namespace(client, namespace)
    return Target(client, watch, namespace)


def _watches(targets: Sequence[Target]) -> list[PodWatch]:
    return list({id(target.watch): target.watch for target in targets}.values())
