"""A node agent under load, as a process of its own before a fake kubelet, over real TLS."""

import asyncio
import json
import os
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import yaml

from tests.fakes.waiting import eventually, eventually_so
from tests.unit.node_agent.tenants import TenantUnderTest
from tests.unit.node_agent.world import OWN_TOKEN, UPGRADE, World, surroundings

FOLLOWERS = 200
SLOW = 10
"""Of them: they take nothing of a log that is written as fast as may be."""
COPIED = 1 << 30
PIECE = bytes(1 << 18)
GROWTH = 80 << 20
STALLED_SECONDS = 10
ANSWERS_MEANWHILE = 3
"""Who waits for the whole copy gets one at most."""
COPY_SECONDS = 120.0


async def test_memory_is_bounded_and_others_are_answered(tmp_path: Path) -> None:
    async with agent_process(tmp_path) as (world, agent), AsyncExitStack() as stack:
        world.run_pod(world.team_a.super_pod("calm"))
        world.kubelet.logs["web"] = b"x" * 65536
        world.kubelet.swallows = True
        await eventually_so(lambda: _known(world, world.team_a, "calm"), "all pods are known")
        base = most = agent.memory_info().rss
        for number in range(FOLLOWERS):
            await _follow(world, stack, slow=number < SLOW)
        await eventually(lambda: world.kubelet.busy == FOLLOWERS, "all logs are followed")
        world.kubelet.more_logs.set()
        answered = 0
        async with asyncio.TaskGroup() as tasks:
            copying = tasks.create_task(asyncio.to_thread(_copy, world))
            while not copying.done():
                assert await _known(world, world.team_b, "web")
                answered += not copying.done()
                most = max(most, agent.memory_info().rss)
                await asyncio.sleep(0.05)  # between two looks
        await eventually(lambda: world.kubelet.swallowed >= COPIED, "the copy has arrived", 120)
        assert most - base < GROWTH, f"the agent grew by {(most - base) >> 20} MiB"
        assert answered >= ANSWERS_MEANWHILE
        calm = FOLLOWERS - SLOW
        await eventually(
            lambda: world.kubelet.busy == calm, "those who take nothing are dropped", 120
        )


async def _known(world: World, tenant: TenantUnderTest, pod: str) -> bool:
    path = f"/run/default/{pod}/web?cmd=id"
    return (await world.ask(tenant.client(), "POST", path)).status == 200


async def _follow(world: World, stack: AsyncExitStack, *, slow: bool) -> None:
    """``logs -f``; the answer's head is read, and after it nothing if the client is slow."""
    reader, writer = await world.connect(world.team_a.client())
    stack.callback(writer.close)
    pod = "web" if slow else "calm"
    writer.write(f"GET /containerLogs/default/{pod}/web?follow=true HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    if slow:
        writer.transport.pause_reading()  # type: ignore[attr-defined]


def _copy(world: World) -> None:
    """What ``cp`` does: an exec with COPIED bytes of input."""
    lines = ["POST /exec/default/web/web?command=tar&input=1 HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in UPGRADE.items()]
    context: ssl.SSLContext = world.context(world.team_a.client())
    with (
        socket.create_connection(("127.0.0.1", world.port), COPY_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall("\r\n".join([*lines, "", ""]).encode())
        assert tls.recv(4096).startswith(b"HTTP/1.1 101 ")
        for _ in range(COPIED // len(PIECE)):
            tls.sendall(PIECE)
        tls.unwrap()


@asynccontextmanager
async def agent_process(directory: Path) -> AsyncIterator[tuple[World, psutil.Process]]:
    """``python -m node_agent``, ready."""
    async with surroundings(directory) as (world, values):
        kubeconfig = directory / "super.kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(world.super.url)))
        values |= {"super_kubeconfig": kubeconfig, "stalled_seconds": STALLED_SECONDS}
        environment = {f"NODE_AGENT_{name.upper()}": str(value) for name, value in values.items()}
        said = directory / "agent.log"
        setpriv = shutil.which("setpriv")
        dying_with_us = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
        with said.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *dying_with_us,
                sys.executable, "-m", "node_agent",
                env=os.environ | environment, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            await eventually(lambda: "serving" in said.read_text(), "the agent listens", 120)
            [line] = [line for line in said.read_text().splitlines() if '"serving"' in line]
            [world.port] = json.loads(line)["ports"]
            await eventually_so(lambda: _known(world, world.team_b, "web"), "the agent is ready")
            yield world, psutil.Process(process.pid)
        finally:
            process.terminate()
            await process.wait()


def _kubeconfig(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "super", "cluster": {"server": server}}],
        "users": [{"name": "agent", "user": {"token": OWN_TOKEN}}],
        "contexts": [{"name": "super", "context": {"cluster": "super", "user": "agent"}}],
        "current-context": "super",
    }
