"""The node agent of the local system, from a tenant's kubectl and from strangers."""

import json
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.e2e.local_system import LocalSystem, TenantCluster, wait_for
from tests.e2e.objects import pod
from tests.e2e.websockets import log_by_websocket
from vcluster import api

STREAMS = (
    ("exec", "asked", "--", "ls"),
    ("attach", "asked"),
    ("port-forward", "asked", ":80"),
)
LOGS = b"GET /containerLogs/default/asked/main HTTP/1.1\r\nHost: node\r\n\r\n"


@pytest.fixture(scope="module")
def tenant(team_a: TenantCluster) -> Iterator[TenantCluster]:
    """Team A with a pod that runs."""
    team_a.apply(pod("asked"))
    team_a.kubectl("wait", "--for=condition=Ready", "pod/asked", "--timeout=150s")
    yield team_a
    team_a.kubectl("delete", "pod", "asked", "--wait=false")


def test_a_simulated_pods_log_says_that_there_is_none(tenant: TenantCluster) -> None:
    for arguments in (["logs", "asked"], ["logs", "-f", "asked"]):
        assert "pod default/asked is simulated" in tenant.kubectl(*arguments)
    assert b"pod default/asked is simulated" in log_by_websocket(tenant, "asked")


@pytest.mark.parametrize("arguments", STREAMS)
def test_what_needs_a_container_says_why_it_fails(
    tenant: TenantCluster, arguments: tuple[str, ...]
) -> None:
    assert "pod default/asked is simulated" in tenant.kubectl(*arguments, check=False)


@pytest.mark.parametrize("identity", ["nobody", "admin", "kwok"])
def test_strangers_are_refused(local: LocalSystem, tenant: TenantCluster, identity: str) -> None:
    """Without a certificate, and with those of the super cluster."""
    state = local.state_directory
    node = tenant.get("node", "cpu-0", "")
    assert node is not None
    addresses = {a["type"]: a["address"] for a in node["status"]["addresses"]}
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=str(state / "pki/node-agent/ca.crt"))
    if identity != "nobody":
        pair = state / "pki/clients" / identity
        context.load_cert_chain(f"{pair}.crt", f"{pair}.key")
    address = addresses[api.NODE_AGENT_ADDRESS_TYPE]
    with (
        socket.create_connection((address, port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=address) as tls,
    ):
        tls.sendall(LOGS)
        assert tls.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_the_agent_may_not_read_what_it_does_not_need(local: LocalSystem) -> None:
    agent = local.super.__class__(
        local.super.kubectl_program,
        local.state_directory / "kubeconfig/node-agent.kubeconfig",
    )
    for verb, kind in (
        ("get", "secrets"),
        ("list", "secrets"),
        ("list", "configmaps"),
        ("get", "configmaps"),
        ("create", "pods/exec"),
        ("patch", "pods"),
        ("list", "virtualclusters.virtualcluster.dev"),
    ):
        assert agent.kubectl("auth", "can-i", verb, kind, "-A", check=False).startswith("no"), kind
    name = f"metadata.name={api.CLIENT_CA_CONFIG_MAP}"
    published = agent.kubectl("get", "configmaps", "-A", "--field-selector", name, "-o", "json")
    assert "PRIVATE" not in published
    assert json.loads(published)["items"]


def test_a_tenant_that_ends_is_known_no_more(local: LocalSystem) -> None:
    def tenants() -> int:
        port = (local.state_directory / "node-agent.port").read_text().strip()
        with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as plain:
            plain.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: plain.recv(65536), b"")).decode()
        [line] = [line for line in text.splitlines() if line.startswith("node_agent_tenants ")]
        return int(float(line.split()[1]))

    before = tenants()
    local.create_tenant("short-lived")
    wait_for("the agent knows it", lambda: tenants() == before + 1)
    local.vc("delete", "short-lived", stdin="short-lived\n")
    wait_for("it is forgotten", lambda: tenants() == before)
