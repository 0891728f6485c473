"""The programs of the super cluster: what they are told, and what they must never do."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import yaml

from egress_proxy.settings import Settings as EgressSettings
from node_agent.settings import Settings as AgentSettings
from syncer.settings import Settings as SyncerSettings
from vcluster import api
from vcluster.local.components import (
    CLUSTER,
    EGRESS_PROXY,
    NODE_AGENT,
    NODE_RANGE,
    POD_RANGE,
    programs,
    wanted,
)
from vcluster.local.configuration import render_stages
from vcluster.local.nodes import gpu_labels, wanted_nodes
from vcluster.local.options import Options, OptionsError
from vcluster.local.state import PORT_NAMES, State
from vcluster.operator.settings import Settings as OperatorSettings
from vcluster.supervision import Program

PORTS = {name: 20000 + number for number, name in enumerate(PORT_NAMES)}
STATE = State(Path("/state"))


def by_name(options: Options) -> dict[str, Program]:
    found = programs(STATE, PORTS, wanted(options), options, {"kwok": "digest"})
    return {program.name: program for program in found}


def test_a_cluster_of_our_own_has_all_programs() -> None:
    assert tuple(by_name(Options())) == (
        *CLUSTER,
        "operator",
        "syncer",
        EGRESS_PROXY,
        NODE_AGENT,
    )


def test_with_an_existing_cluster_only_the_datastore_and_ours_run() -> None:
    found = by_name(Options(kubeconfig="/home/me/config"))
    assert tuple(found) == ("etcd", "operator", "syncer", EGRESS_PROXY)
    for name in ("operator", "egress-proxy"):
        variable = f"{name.upper().replace('-', '_')}_SUPER_KUBECONFIG"
        assert found[name].environment[variable] == "/home/me/config"
    assert found["syncer"].environment["SYNCER_SUPER_KUBECONFIG"] == "/home/me/config"
    assert not found["syncer"].environment["SYNCER_HOSTS_IMAGE"]


def test_nothing_listens_beyond_loopback() -> None:
    found = by_name(Options())
    for program in found.values():
        for argument in program.command:
            assert "0.0.0.0" not in argument
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert "--bind-address=127.0.0.1" in found[name].command
    listens = [a for a in found["etcd"].command if a.startswith("--listen")]
    assert len(listens) == 2
    assert all("//127.0.0.1:" in argument for argument in listens)
    # kwok serves nothing unless it is told where.
    assert not [a for a in found["kwok"].command if "server-address" in a or "node-port" in a]


def test_our_services_understand_their_environment() -> None:
    found = by_name(Options())
    operator = OperatorSettings.from_environment(found["operator"].environment)
    assert operator.etcd_endpoints
    (retention,) = (a for a in found["etcd"].command if a.startswith("--auto-compaction-retention"))
    minutes = int(retention.partition("=")[2].removesuffix("m"))
    assert operator.etcd_history_seconds >= 2 * minutes * 60, "etcd compacts once in that time"
    assert operator.egress_proxy, "tenants' API servers connect through the proxy only"
    egress = EgressSettings.from_environment(found[EGRESS_PROXY].environment)
    assert egress.tenants == Path(operator.state_directory) / "tenants"
    assert not egress.allowed
    assert egress.denied == (ip_network(POD_RANGE),), "where simulated pods are, nobody is"
    syncer = SyncerSettings.from_environment(found["syncer"].environment)
    assert syncer.super_kubeconfig
    assert syncer.node_agent_port == egress.node_agent_port == api.NODE_AGENT_PORT
    assert [ip_network(cidr) for cidr in syncer.denied_cidrs.split(",")]
    agent = AgentSettings.from_environment(found[NODE_AGENT].environment)
    assert (agent.address, agent.ports) == ("127.0.0.1", (PORTS[NODE_AGENT],))


def test_syncers_have_names_and_port_files_of_their_own() -> None:
    found = by_name(Options(syncers=3))
    told = [
        SyncerSettings.from_environment(found[name].environment)
        for name in ("syncer", "syncer-2", "syncer-3")
    ]
    assert [settings.member for settings in told] == ["syncer", "syncer-2", "syncer-3"]
    assert len({settings.port_file for settings in told}) == 3
    with pytest.raises(OptionsError, match="syncers is 0, but must be between 1 and 16"):
        Options().changed({"syncers": 0})


def test_the_datastore_is_stopped_last() -> None:
    found = by_name(Options())
    order = sorted(found, key=lambda name: found[name].priority)
    assert order[-2:] == ["kube-apiserver", "etcd"]


def test_the_operator_is_stopped_before_the_tenants_programs() -> None:
    """It starts what it finds stopped: with fifty tenants `vc down` waited in vain for those."""
    found = by_name(Options())
    tenants = Program("any", ("true",), Path("/log")).priority
    assert found["operator"].priority < tenants
    assert min(program.priority for name, program in found.items() if name != "operator") >= tenants


def test_a_changed_digest_changes_the_program() -> None:
    same = programs(STATE, PORTS, ["kwok"], Options(), {"kwok": "digest"})
    other = programs(STATE, PORTS, ["kwok"], Options(), {"kwok": "another"})
    assert same == [by_name(Options())["kwok"]]
    assert same != other


@pytest.mark.parametrize("options", [Options(), Options(cpu_nodes=0, gpu_nodes=2, gpus_per_node=8)])
def test_nodes_are_as_asked_for(options: Options) -> None:
    nodes = wanted_nodes(options, "127.0.0.1:15000")
    gpu = [n for n in nodes if "nvidia.com/gpu" in n["status"]["capacity"]]
    assert len(nodes) == options.cpu_nodes + options.gpu_nodes
    assert len(gpu) == options.gpu_nodes
    addresses = {ip_address(n["status"]["addresses"][0]["address"]) for n in nodes}
    assert len(addresses) == len(nodes)
    assert all(address in ip_network(NODE_RANGE) for address in addresses)
    for node in gpu:
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == str(options.gpus_per_node)
        assert node["metadata"]["labels"]["nvidia.com/gpu.count"] == str(options.gpus_per_node)


@pytest.mark.parametrize(
    ("product", "family", "memory"),
    [
        ("NVIDIA-H100-80GB-HBM3", "hopper", "81559"),
        ("NVIDIA-A100-SXM4-40GB", "ampere", "40599"),
        ("Something-Else", "unknown", "81559"),
    ],
)
def test_gpu_labels_tell_the_product(product: str, family: str, memory: str) -> None:
    labels = gpu_labels(product, 4)
    assert labels["nvidia.com/gpu.product"] == product
    assert labels["nvidia.com/gpu.family"] == family
    assert labels["nvidia.com/gpu.memory"] == memory
    assert labels["nvidia.com/gpu.present"] == "true"


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"gpu_nodes": -1}, "gpu-nodes is -1"),
        ({"cpu_nodes": 5000}, "between 0 and 1000"),
        ({"pod_start_delay": -0.1}, "pod-start-delay is -0.1"),
        ({"gpu_product": "NVIDIA H100"}, "gpu-product"),
    ],
)
def test_bad_options_are_named(given: dict[str, object], word: str) -> None:
    with pytest.raises(OptionsError, match=word):
        Options().changed(given)


def test_options_that_are_not_given_stay() -> None:
    assert Options(gpu_nodes=2).changed({"cpu_nodes": 1}) == Options(gpu_nodes=2, cpu_nodes=1)


def test_the_stages_take_the_delay() -> None:
    rendered = yaml.safe_load_all(render_stages(Options(pod_start_delay=2)))
    stages = [one for one in rendered if one["kind"] == "Stage"]
    running = next(s for s in stages if s["metadata"]["name"] == "pod-running")
    assert running["spec"]["delay"] == {
        "durationMilliseconds": 1200,
        "jitterDurationMilliseconds": 2800,
    }
    names = [stage["metadata"]["name"] for stage in stages]
    assert len(set(names)) == len(names)
