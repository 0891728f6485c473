"""``python -m tests.bench.crowd``: very many pods at once in some tenants, and what the others notice of it.

Each tenant has a real control plane, all on this machine. The regular tenants create their pods at a pace,
alone, among the loud ones' bursts, and again when these have ended. With ``--real`` most API servers are
fakes (``light``), so that many more tenants have room, and it ends with the second series.
"""

import argparse
import asyncio
import base64
import math
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from kube.client import Client
from kube.connection import KubeconfigFile
from kube.objects import ObjectKey, decode_object
from kube.resources import SECRETS
from kube.transport import AiohttpTransport
from tests.bench import light, load, watching
from tests.bench.load import Pod, Target
from tests.bench.percentiles import p50, p99
from tests.bench.system import System, Tenant, create_namespace
from tests.bench.watching import PodWatch
from vcluster import api

NAMESPACE = "crowd"
PODS_PER_NODE = 250
TENANTS_AT_ONCE = 3
END_SECONDS = 1200.0
LOUD = "--as-the-loud"
"""How this program calls itself, so that who measures does not make the noise."""


async def main(options: argparse.Namespace) -> None:
    """One run, whose figures are printed."""
    system = System(options.state_dir)
    pods = options.loud * options.pods + 3 * options.regular * options.paced
    nodes = ("--gpu-nodes", "0", "--cpu-nodes", str(math.ceil(1.2 * pods / PODS_PER_NODE)))
    with system.held(options.keep, *nodes):
        super_client = system.super_client()
        say(f"{options.loud} loud and {options.regular} regular tenants are made")
        if options.real is not None:
            await mostly_light(system, super_client, options)
            return
        loud = await made(system, super_client, "loud", options.loud)
        regular = await made(system, super_client, "regular", options.regular)
        targets = [await target(tenant.client) for tenant in regular]
        await system.calm()
        async with watching.following([target.watch for target in targets]):
            await series("alone", targets, options)
            async with noise(system, super_client, loud, options.pods) as ended:
                await series("among", targets, options)
                say(f"the bursts {'had ended before' if ended() else 'went on'}")
            await system.calm()
            await series("again", targets, options)
        for client in [super_client, *(tenant.client for tenant in [*loud, *regular])]:
            await client.close()


async def mostly_light(system: System, super_client: Client, options: argparse.Namespace) -> None:
    """Only some regular tenants have control planes; of all others the API server is a fake."""
    real = await made(system, super_client, "regular", options.real)
    targets = [await target(tenant.client) for tenant in real]
    light.without_operator(system)
    async with (
        light.served(super_client, "light", options.regular - options.real) as others,
        light.served(super_client, "loud", options.loud) as loud,
    ):
        targets += [Target(c, PodWatch(c), light.NAMESPACE) for c in others.clients]
        await system.calm()
        async with watching.following([target.watch for target in targets]):
            await series("alone", targets, options)
            await loud.burst(options.pods)
            await series("among", targets, options)
            say(f"loud: {await loud.running()}")
        for client in [*others.clients, *loud.clients, *(tenant.client for tenant in real)]:
            await client.close()
    await super_client.close()


async def made(system: System, super_client: Client, kind: str, number: int) -> list[Tenant]:
    """Tenants that are ready, some made at a time."""
    several = asyncio.Semaphore(TENANTS_AT_ONCE)

    async def make(index: int) -> Tenant:
        async with several:
            return await system.create_tenant(super_client, f"{kind}-{index}")

    return list(await asyncio.gather(*(make(index) for index in range(number))))


async def target(client: Client) -> Target:
    """Where a tenant's pods are made."""
    await create_namespace(client, NAMESPACE)
    return Target(client, PodWatch(client), NAMESPACE)


async def series(name: str, targets: Sequence[Target], options: argparse.Namespace) -> None:
    """The regular tenants' pods once; what they took is printed, and they go.

    Ends when they have gone: their deletions are work of this series, not of the next one.
    """
    pods = load.spread(targets, name, options.paced * len(targets))
    start = monotonic()
    await load.paced(pods, options.rate)
    seen = [pod.seen for pod in pods]
    missed = await watching.missing(seen, lambda moments: moments.running is not None, END_SECONDS)
    took = monotonic() - start
    for what, values in (("bound", bound(pods)), ("Running", running(pods))):
        figures = f"p50 {p50(values):.2f} s, p99 {p99(values):.2f} s, longest {max(values):.2f} s"
        say(f"{name}: {len(values)} pods, create→{what} {figures}")
    say(f"{name}: {took:.0f} s in all, {missed} not running; load {os.getloadavg()[0]:.1f}")
    await load.delete(pods)
    await watching.missing(seen, lambda moments: moments.gone is not None, END_SECONDS)


def bound(pods: Sequence[Pod]) -> list[float]:
    """Seconds until each pod was seen to have a node."""
    return [m.bound - m.sent for pod in pods if (m := pod.moments).bound and m.sent]


def running(pods: Sequence[Pod]) -> list[float]:
    """Seconds until each pod was seen to run."""
    return [m.running - m.sent for pod in pods if (m := pod.moments).running and m.sent]


@asynccontextmanager
async def noise(
    system: System, super_client: Client, loud: Sequence[Tenant], pods: int
) -> AsyncIterator[Callable[[], bool]]:
    """The loud tenants create their pods from a process of its own; yields whether that has ended.

    At the end of the block it waits until all of them run.
    """
    files = [str(await kubeconfig(system, super_client, tenant)) for tenant in loud]
    command = (sys.executable, "-m", "tests.bench.crowd", LOUD, str(pods), *files)
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield lambda: process.returncode is not None
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def kubeconfig(system: System, super_client: Client, tenant: Tenant) -> Path:
    """The tenant's, as a file that only we can read; it goes with the system."""
    secret = ObjectKey(tenant.key, api.ADMIN_KUBECONFIG_SECRET)
    data = decode_object(await super_client.get(SECRETS, secret))["data"]
    path = system.state.directory / f"{tenant.name}.kubeconfig"
    path.touch(mode=0o600)
    path.write_bytes(base64.b64decode(data[api.KUBECONFIG_KEY]))
    return path


async def be_loud(pods: int, kubeconfigs: Sequence[str]) -> None:
    """Create so many pods in each of these tenants at once; ends when all run."""
    clients = [Client(AiohttpTransport(KubeconfigFile(Path(path))), 60.0) for path in kubeconfigs]
    targets = [await target(client) for client in clients]
    made = load.spread(targets, "loud", pods * len(targets))
    start = monotonic()
    async with watching.following([target.watch for target in targets]):
        await load.burst(made)
        say(f"loud: {len(made)} pods were accepted after {monotonic() - start:.0f} s")
        seen = [pod.seen for pod in made if not pod.error]
        left = await watching.missing(
            seen, lambda moments: moments.running is not None, END_SECONDS
        )
        took = monotonic() - start
        say(f"loud: all ran after {took:.0f} s ({len(seen) / took:.1f} pods/s), {left} did not")
    for client in clients:
        await client.close()


def say(text: str) -> None:
    """Progress and figures are lines of standard output."""
    print(text, flush=True)


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The options; ends the program with a sentence if they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowd", description=__doc__)
    for name, default, text in (
        ("loud", 2, "tenants that create their pods at once"),
        ("pods", 900, "pods of each of these"),
        ("regular", 8, "tenants that create theirs at a pace"),
        ("paced", 10, "pods of each of these in a series"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} ({default})")
    rate = "pods per second of all regular tenants together (2.6)"
    parser.add_argument("--rate", type=float, default=2.6, help=rate)
    few = "regular tenants with a control plane (all have one); all other tenants' API servers are fakes"
    parser.add_argument("--real", type=int, help=few)
    folder = Path(tempfile.gettempdir()) / "virtualcluster-crowd"
    parser.add_argument("--state-dir", type=Path, default=folder, help=f"its own folder ({folder})")
    parser.add_argument("--keep", action="store_true", help="leave the system up")
    options = parser.parse_args(arguments)
    for name in ("loud", "pods", "regular", "paced", "rate"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} must be more than 0")
    if options.real is not None and not 0 <= options.real < options.regular:
        parser.error(f"--real must be less than --regular, {options.regular}")
    return options


if __name__ == "__main__":
    if sys.argv[1:2] == [LOUD]:
        asyncio.run(be_loud(int(sys.argv[2]), sys.argv[3:]))
    else:
        asyncio.run(main(parsed(sys.argv[1:])))
