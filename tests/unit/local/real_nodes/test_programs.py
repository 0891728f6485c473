"""What runs for real nodes, and what each part may listen on."""

import tomllib
from pathlib import Path

import jinja2
import yaml

from egress_proxy.settings import Settings as EgressSettings
from node_agent.settings import Settings as AgentSettings
from syncer.settings import Settings as SyncerSettings
from vcluster.assets import templates_directory
from vcluster.local.components import programs, wanted
from vcluster.local.options import Options
from vcluster.local.real_nodes.components import agents, daemons, holders
from vcluster.local.real_nodes.images import BUSYBOX
from vcluster.local.real_nodes.site import KUBELET_PORT, Site
from vcluster.local.state import PORT_NAMES, State

SITE = Site(Path("/state"), 0)
NODES = SITE.nodes(2)
DIGESTS = {
    f"{node.name}-{part}": "d"
    for node in NODES
    for part in ("containerd", "kubelet", "kube-proxy", "node-agent")
}
SERVING = {node.name: Path(f"/pki/node-agent/{node.name}") for node in NODES}
VALUES = {
    "directory": "/state/real-nodes/real-0",
    "socket": "/run/containerd/containerd.sock",
    "pause": "localhost/pause:1",
    "plugins": "/usr/lib/cni",
    "node": "real-0",
    "pod_range": "10.208.0.0/17",
    "node_pods": "10.208.0.0/24",
    "dns": "10.96.0.10",
    "gateway": "10.208.128.1",
    "resolv_conf": "/resolv.conf",
    "address": "10.208.128.2",
    "kubelet_port": KUBELET_PORT,
    "authority": "/ca.crt",
    "certificate": "/kubelet.crt",
    "key": "/kubelet.key",
    "kubeconfig": "/kubeconfig",
    "reserved_memory": "1Gi",
    "open_files": 1000,
}


def rendered(name: str) -> str:
    loader = jinja2.FileSystemLoader(templates_directory() / "real-node")
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)
    return environment.get_template(name).render(VALUES)


def test_each_node_has_all_its_programs_and_the_router_goes_last() -> None:
    found = [
        *holders(SITE, NODES, Path("/logs"), 6443, ("10.96.0.0/16",), DIGESTS),
        *daemons(NODES, Path("/logs"), Path("/bin"), DIGESTS),
        *agents(NODES, Path("/logs"), Path("/pki"), SERVING, DIGESTS),
    ]
    priorities = {program.name: program.priority for program in found}
    parts = ("", "-containerd", "-kubelet", "-kube-proxy", "-node-agent")
    assert set(priorities) == {"router", "gateway"} | {
        f"real-{n}{p}" for n in (0, 1) for p in parts
    }
    order = ["router", "gateway", "real-0", "real-0-containerd", "real-0-kubelet"]
    assert sorted(order, key=lambda name: -priorities[name]) == order


def test_the_kubelet_asks_who_is_there_and_whether_they_may() -> None:
    kubelet = yaml.safe_load(rendered("kubelet.yaml.j2"))
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert kubelet["address"] == VALUES["address"]
    assert kubelet["port"] == KUBELET_PORT
    assert "readOnlyPort" not in kubelet


def test_the_node_agent_serves_at_the_nodes_address_only() -> None:
    [agent, _] = agents(NODES, Path("/logs"), Path("/pki"), SERVING, DIGESTS)
    settings = AgentSettings.from_environment(agent.environment)
    assert settings.address == VALUES["address"]
    assert settings.kubelet_endpoint == (VALUES["address"], KUBELET_PORT)
    assert settings.ports == (10550, 10250), (
        "whoever knows the usual one is served, and whoever asks kubelets"
    )


def test_node_ports_and_health_are_of_the_node_only() -> None:
    proxy = yaml.safe_load(rendered("kube-proxy.yaml.j2"))
    assert proxy["mode"] == "nftables"
    assert proxy["healthzBindAddress"].startswith("127.0.0.1:")
    assert proxy["metricsBindAddress"].startswith("127.0.0.1:")


def test_containerd_keeps_all_it_has_in_the_nodes_own_folders() -> None:
    containerd = tomllib.loads(rendered("containerd.toml.j2"))
    assert containerd["root"] == "/state/real-nodes/real-0/lib/containerd"
    assert containerd["state"].startswith("/run/")
    plugins = containerd["plugins"]
    assert plugins["io.containerd.internal.v1.opt"]["path"].startswith("/var/lib/")
    assert plugins["io.containerd.grpc.v1.cri"]["stream_server_address"] == "127.0.0.1"


def test_with_real_nodes_the_services_know_the_gateway() -> None:
    ports = {name: 20000 + number for number, name in enumerate(PORT_NAMES)}
    state, names = State(Path("/state")), wanted(Options(real_nodes=1))
    found = {
        program.name: program.environment
        for program in programs(state, ports, names, Options(), {}, SITE)
    }
    assert found["operator"]["OPERATOR_GATEWAY_ADDRESS"] == "10.208.128.1"
    assert found["syncer"]["SYNCER_GATEWAY_ADDRESS"] == "10.208.128.1"
    assert found["syncer"]["SYNCER_HOSTS_IMAGE"] == BUSYBOX, "an image that every real node has"
    syncer = SyncerSettings.from_environment(found["syncer"])
    egress = EgressSettings.from_environment(found["egress-proxy"])
    assert syncer.node_agent_port == egress.node_agent_port == 10250, (
        "where clients look for kubelets"
    )
    denied = found["syncer"]["SYNCER_DENIED_CIDRS"].split(",")
    assert {"10.208.128.0/24", "10.208.129.0/30"} <= set(denied)
