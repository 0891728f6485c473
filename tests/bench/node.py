"""A real node: logs, commands and starts of pods, through a tenant and direct in turn.

Each pair is measured in the same moment of the same system, so that what else the machine does is in
both. Direct is the super cluster's API server, which asks the kubelet; a tenant's asks the node agent.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import psutil

from kube.client import Client
from kube.connection import Credentials, load_kubeconfig
from kube.objects import Object, ObjectKey, decode_object, encode
from kube.resources import PODS, SECRETS
from tests.bench import watching
from tests.bench.load import Pod, Target
from tests.bench.options import Options
from tests.bench.streams import Streams, streams
from tests.bench.system import BenchError, System, create_namespace, wait_for
from tests.bench.watching import PodWatch
from vcluster import api
from vcluster.local.real_nodes import requirements
from vcluster.local.real_nodes.images import BUSYBOX, PAUSE

UP = ("--real-nodes", "1", "--cpu-nodes", "0", "--gpu-nodes", "0")
GROUP, NODE = "real-nodes", "real-0"
NAMESPACE = "bench"
WARM = 2
"""Of each kind, not counted."""
LOG_BYTES = 8_000_000
"""Below the size at which a kubelet rotates a log."""
LOG_LINE = 1000
START_SECONDS = 60.0


@dataclass(slots=True)
class Pairs:
    """The same thing measured both ways, in turn."""

    direct: list[float] = field(default_factory=list)
    tenant: list[float] = field(default_factory=list)


@dataclass(slots=True)
class RealNode:
    """What a real node showed. Seconds; rates are in bytes per second."""

    skipped: str = ""
    """Why nothing was measured."""
    first_log_byte: Pairs = field(default_factory=Pairs)
    execute: Pairs = field(default_factory=Pairs)
    log_rate: Pairs = field(default_factory=Pairs)
    agent_rate: float = 0.0
    """By second of CPU of the node agent."""
    kubelet_rate: float = 0.0
    """By second of CPU of the kubelet, for direct reads."""
    start: Pairs = field(default_factory=Pairs)
    """From the pod's creation to its being seen Running."""


def possible(system: System) -> str:
    """Why there can be no real node here; empty: there can be."""
    try:
        requirements.check(system.state.directory)
        requirements.install(lambda _text: None)
    except requirements.MissingRequirement as error:
        return str(error)
    return ""


async def run(system: System, options: Options, say: Callable[[str], None]) -> RealNode:
    """Measure on a system with one real node that is up. Raises BenchError."""
    found = RealNode()
    super_client = system.super_client()
    tenant = await system.create_tenant(super_client, "bench")
    try:
        direct = await _target(super_client, "direct")
        through = await _target(tenant.client, NAMESPACE)
        async with AsyncExitStack() as stack:
            sides = [
                await stack.enter_async_context(streams(credentials, target.namespace, "talker"))
                for credentials, target in (
                    (load_kubeconfig(system.state.super_kubeconfig().read_bytes()), direct),
                    (await _credentials(super_client, tenant.key), through),
                )
            ]
            for target in (direct, through):
                await _talk(target)
            await _streams(system, sides, options, found)
        say("logs and commands on the real node are measured")
        await _starts((direct, through), options.starts, found)
        say("starts of pods on the real node are measured")
    finally:
        for client in (super_client, tenant.client):
            await client.close()
    return found


async def _target(client: Client, namespace: str) -> Target:
    await create_namespace(client, namespace)
    return Target(client, PodWatch(client), namespace, PAUSE)


async def _credentials(super_client: Client, tenant_key: str) -> Credentials:
    secret = ObjectKey(tenant_key, api.ADMIN_KUBECONFIG_SECRET)
    data = decode_object(await super_client.get(SECRETS, secret))["data"]
    return load_kubeconfig(base64.b64decode(data[api.KUBECONFIG_KEY]))


async def _talk(target: Target) -> None:
    """Run a pod that has written LOG_BYTES."""
    line = f"$(printf %0{LOG_LINE - 1}d 7)"
    script = f"yes {line} | head -c {LOG_BYTES}; echo said; exec sleep 100000"
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script]}
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    body: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "talker", "namespace": target.namespace},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [container | {"readinessProbe": probe}],
        },
    }
    key = ObjectKey(target.namespace, "talker")
    await target.client.create(PODS, key, encode(body))

    async def is_ready() -> bool:
        status = decode_object(await target.client.get(PODS, key)).get("status", {})
        return any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in status.get("conditions", [])
        )

    await wait_for(f"the pod talker in {target.namespace} is ready", is_ready, START_SECONDS)


async def _streams(
    system: System, sides: Sequence[Streams], options: Options, found: RealNode
) -> None:
    direct, tenant = sides
    await _in_turn(
        found.first_log_byte, options.requests, direct.first_log_byte, tenant.first_log_byte
    )
    await _in_turn(
        found.execute,
        options.commands,
        lambda: direct.execute("true"),
        lambda: tenant.execute("true"),
    )
    spent = {"direct": 0.0, "tenant": 0.0}
    size = {"direct": 0, "tenant": 0}

    async def read(way: str, side: Streams, program: str) -> float:
        pid = system.pid(GROUP, f"{NODE}-{program}")
        before = _cpu(pid)
        count, seconds = await side.log()
        spent[way] += _cpu(pid) - before
        size[way] += count
        return count / seconds

    await _in_turn(
        found.log_rate,
        options.logs,
        lambda: read("direct", direct, "kubelet"),
        lambda: read("tenant", tenant, "node-agent"),
    )
    found.kubelet_rate = size["direct"] / max(spent["direct"], 0.01)
    found.agent_rate = size["tenant"] / max(spent["tenant"], 0.01)


async def _in_turn(
    pairs: Pairs,
    number: int,
    direct: Callable[[], Awaitable[float]],
    tenant: Callable[[], Awaitable[float]],
) -> None:
    for turn in range(WARM + number):
        first, second = await direct(), await tenant()
        if turn >= WARM:
            pairs.direct.append(first)
            pairs.tenant.append(second)


async def _starts(targets: Sequence[Target], number: int, found: RealNode) -> None:
    async def start(target: Target, turn: int) -> float:
        pod = Pod(target, f"start-{turn}")
        await pod.create()
        missed = await watching.missing(
            [pod.seen], lambda moments: moments.running is not None, START_SECONDS
        )
        seconds = pod.moments.create_to_running
        if missed or seconds is None:
            raise BenchError(f"pod {pod.name} in {target.namespace} does not run: {pod.error}")
        await pod.delete()
        await watching.missing([pod.seen], lambda moments: moments.gone is not None, START_SECONDS)
        return seconds

    direct, tenant = targets
    async with watching.following([target.watch for target in targets]):
        for turn in range(1 + number):
            first, second = await start(direct, turn), await start(tenant, turn)
            if turn:
                found.start.direct.append(first)
                found.start.tenant.append(second)


def _cpu(pid: int) -> float:
    """CPU seconds of a program that runs inside the node: of what entered it, and its child."""
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)
