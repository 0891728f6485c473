"""How much memory the programs take: bare, with tenants, and with many pods."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench import load, watching
from tests.bench.load import Target
from tests.bench.phases import GIVE_UP_SECONDS, PATIENCE
from tests.bench.processes import SYNCER, Usages, rss_mib
from tests.bench.system import System

WAVE = 500


@dataclass(slots=True)
class Memory:
    """Measurements by number of tenants and pods."""

    bare: Usages = field(default_factory=dict)
    idle: Usages = field(default_factory=dict)
    """With the tenants, before any pod."""
    tenants: int = 0
    before: float = 0.0
    """The syncer's MiB after the loads before this one, without pods."""
    waves: list[tuple[int, float]] = field(default_factory=list)
    """Pods there at that time, and the syncer's MiB."""
    full: Usages = field(default_factory=dict)
    not_running: int = 0

    @property
    def kib_per_tenant(self) -> float:
        """The syncer's growth by an idle tenant."""
        growth = rss_mib(self.idle)[SYNCER] - rss_mib(self.bare)[SYNCER]
        return growth * 1024 / max(1, self.tenants)

    @property
    def kib_per_pod(self) -> float:
        """The syncer's growth from its idle tenants to all pods, by pod: buffers included."""
        pods, mib = self.waves[-1]
        return (mib - rss_mib(self.idle)[SYNCER]) * 1024 / pods

    @property
    def kib_per_more_pod(self) -> float:
        """The growth after the first wave only: what is kept of a pod."""
        (first_pods, first), (pods, mib) = self.waves[0], self.waves[-1]
        return (mib - first) * 1024 / (pods - first_pods) if pods > first_pods else 0.0


async def fill(system: System, targets: Sequence[Target], number: int, memory: Memory) -> None:
    """Create ``number`` pods in waves, and measure after each; the pods stay."""
    await system.calm()
    memory.before = rss_mib(await system.usages())[SYNCER]
    async with watching.following({id(t.watch): t.watch for t in targets}.values()):
        there = 0
        while there < number:
            size = min(WAVE, number - there)
            pods = load.spread(targets, f"memory-{there}", size)
            await load.burst(pods)
            memory.not_running += await watching.missing(
                [pod.seen for pod in pods],
                lambda moments: moments.running is not None,
                GIVE_UP_SECONDS + size / PATIENCE,
            )
            there += size
            await system.calm()
            memory.full = await system.usages()
            memory.waves.append((there, rss_mib(memory.full)[SYNCER]))
