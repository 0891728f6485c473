"""The agent at two ports, the kubelets' usual one besides its own: at both it serves and refuses the same."""

import socket
from pathlib import Path

import msgspec
import pytest

from kube.connection import Credentials, FixedCredentials
from node_agent.app import App
from node_agent.settings import Settings
from tests.fakes.waiting import eventually
from tests.unit.node_agent.world import World, running_world, surroundings

LOGS = "/containerLogs/default/web/web"
FILES = {
    "NODE_AGENT_NODE": "node-1",
    "NODE_AGENT_CERTIFICATE": "agent.crt",
    "NODE_AGENT_KEY": "agent.key",
    "NODE_AGENT_KUBELET_CA": "ca.crt",
    "NODE_AGENT_KUBELET": "10.0.0.1:10450",
}


def told(**variables: str) -> Settings:
    return Settings.from_environment(
        FILES | {f"NODE_AGENT_{name.upper()}": value for name, value in variables.items()}
    )


async def statuses(world: World) -> list[int]:
    """How some are answered, at the port that is the world's now."""
    own, other = world.team_a.client(), world.team_b.client()
    asked = (
        (own, LOGS),
        (own, "/configz"),
        (own, "/logs/"),
        (other, LOGS.replace("web/web", "nobodys/web")),
        (None, LOGS),
        (world.team_a.client("somebody"), LOGS),
    )
    return [(await world.ask(client, "GET", path)).status for client, path in asked]


async def test_at_both_ports_the_same_is_served_and_refused(tmp_path: Path) -> None:
    async with running_world(tmp_path, second_port=0) as world:
        assert len(set(world.ports)) == 2
        for port in world.ports:
            world.port = port
            assert await statuses(world) == [200, 403, 403, 404, 401, 401]


async def test_a_tenants_limit_is_one_for_both_ports(tmp_path: Path) -> None:
    async with running_world(tmp_path, second_port=0, tenant_connections=1) as world:
        world.kubelet.silent = True
        first, second = world.ports
        world.port = second
        _, writer = await world.connect(world.team_a.client())
        writer.write(f"GET {LOGS}?follow=true HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await eventually(lambda: world.kubelet.busy == 1, "it is served")
        world.port = first
        assert (await world.ask(world.team_a.client(), "GET", LOGS)).status == 429
        writer.close()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """An agent at one port only would look well, and leave those unserved who ask at the other."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with surroundings(tmp_path) as (world, values):
            settings = msgspec.convert(values | {"second_port": port}, Settings)
            credentials = Credentials(server=world.super.url, ca=b"")
            with pytest.raises(ExceptionGroup) as caught:
                await App(settings, FixedCredentials(credentials)).run()
    [error] = caught.value.exceptions
    assert isinstance(error, OSError)
    assert str(port) in str(error)


def test_the_second_port_is_none_unless_it_is_told() -> None:
    assert told().ports == (10550,)
    assert told(second_port="10250").ports == (10550, 10250)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"second_port": "10550"}, "SECOND_PORT is 10550, as NODE_AGENT_PORT is"),
        ({"second_port": "10250", "kubelet": "127.0.0.1:10250"}, "KUBELET names port 10250, but"),
        ({"port": "10450"}, "KUBELET names port 10450, but that is ours"),
        ({"second_port": "70000"}, "<= 65535"),
    ],
)
def test_ports_that_do_not_go_together_are_refused(variables: dict[str, str], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        told(**variables)
