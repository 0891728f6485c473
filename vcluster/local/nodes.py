"""The simulated nodes of the local super cluster, as Kubernetes objects."""

import re
from ipaddress import ip_address

from vcluster.api import KUBERNETES_VERSION, NODE_AGENT_ANNOTATION, Object
from vcluster.local.options import Options

LABEL = "simulation.virtualcluster.dev/node"
"""On every node that `vc up` made; only those are removed when fewer are wanted."""
KWOK_ANNOTATION = "kwok.x-k8s.io/node"

FIRST_ADDRESS = ip_address("10.192.0.1")
ZONES = 3

CPU_CAPACITY = {
    "cpu": "32",
    "memory": "128Gi",
    "pods": "250",
    "ephemeral-storage": "500Gi",
    "hugepages-1Gi": "0",
    "hugepages-2Mi": "0",
}
GPU_CAPACITY = CPU_CAPACITY | {"cpu": "96", "memory": "1Ti", "ephemeral-storage": "2Ti"}

FAMILIES = {
    "A10": "ampere",
    "A100": "ampere",
    "A30": "ampere",
    "B200": "blackwell",
    "GB200": "blackwell",
    "H100": "hopper",
    "H200": "hopper",
    "L4": "ada-lovelace",
    "L40S": "ada-lovelace",
    "T4": "turing",
    "V100": "volta",
}
DEFAULT_GIGABYTES = 80


def wanted_nodes(options: Options, node_agent: str) -> list[Object]:
    """All nodes that should exist, with the status that their kubelet would report first.

    ``node_agent``: ``host:port`` of the agent that answers for them.
    """
    cpu = [_node(f"cpu-{n}", n, {}, CPU_CAPACITY) for n in range(options.cpu_nodes)]
    count = str(options.gpus_per_node)
    capacity = GPU_CAPACITY | {"nvidia.com/gpu": count}
    labels = gpu_labels(options.gpu_product, options.gpus_per_node)
    gpu = [_node(f"gpu-{n}", 1000 + n, labels, capacity) for n in range(options.gpu_nodes)]
    for node in (*cpu, *gpu):
        node["metadata"]["annotations"][NODE_AGENT_ANNOTATION] = node_agent
    return cpu + gpu


def gpu_labels(product: str, count: int) -> dict[str, str]:
    """What NVIDIA's feature discovery writes on a node with these GPUs."""
    words = product.split("-")
    family = next((FAMILIES[word] for word in words if word in FAMILIES), "unknown")
    size = re.search(r"(\d+)GB", product)
    gigabytes = int(size[1]) if size else DEFAULT_GIGABYTES
    return {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.deploy.driver": "true",
        "nvidia.com/gpu.deploy.device-plugin": "true",
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.memory": str(gigabytes * 1024 - 361),
        "nvidia.com/gpu.family": family,
        "nvidia.com/gpu.machine": "simulated",
        "nvidia.com/mig.capable": "false",
        "node.kubernetes.io/instance-type": f"gpu-{count}x",
    }


def _node(name: str, number: int, labels: dict[str, str], capacity: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {KWOK_ANNOTATION: "fake"},
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node-role.kubernetes.io/worker": "",
                "node.kubernetes.io/instance-type": "cpu",
                "topology.kubernetes.io/region": "local",
                "topology.kubernetes.io/zone": f"local-{number % ZONES}",
                LABEL: "true",
            }
            | labels,
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": str(FIRST_ADDRESS + number)},
                {"type": "Hostname", "address": name},
            ],
            "capacity": capacity,
            "allocatable": capacity,
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": f"simulated-{name}",
                "containerRuntimeVersion": "containerd://2.4.2",
                "kernelVersion": "6.12.0-simulated",
                "kubeProxyVersion": "",
                "kubeletVersion": KUBERNETES_VERSION,
                "machineID": f"simulated-{name}",
                "operatingSystem": "linux",
                "osImage": "Simulated Linux",
                "systemUUID": f"simulated-{name}",
            },
        },
    }
