"""What a person can ask of the local super cluster; remembered, so that `vc up` alone repeats it."""

import re
from typing import Any

import msgspec

from vcluster.local.real_nodes.site import MOST_NODES

LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


RANGES = {
    "cpu_nodes": (0, 1000),
    "gpu_nodes": (0, 1000),
    "gpus_per_node": (0, 64),
    "real_nodes": (0, MOST_NODES),
    "syncers": (1, 16),
}


class OptionsError(ValueError):
    """An option has a value that cannot be; says which, and what would be right."""


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """The super cluster that is wanted."""

    cpu_nodes: int = 4
    gpu_nodes: int = 15
    gpus_per_node: int = 4
    gpu_product: str = "NVIDIA-H100-80GB-HBM3"
    pod_start_delay: float = 0.5
    """Seconds from a pod's binding until it runs, on average; each differs by up to 40 %."""
    real_nodes: int = 0
    """Nodes that run pods for real, in containers on this machine."""
    kubeconfig: str = ""
    """An existing cluster that serves as super cluster; empty: one of our own."""
    syncers: int = 1
    """How many share the tenants."""
    services: bool = True
    """Whether operator and syncer run too."""

    def changed(self, given: dict[str, Any]) -> "Options":
        """These options with the given ones instead. Raises OptionsError."""
        options = msgspec.structs.replace(self, **given)
        for name, (least, most) in RANGES.items():
            value = getattr(options, name)
            if not least <= value <= most:
                msg = f"{name.replace('_', '-')} is {value}, but must be between {least} and {most}"
                raise OptionsError(msg)
        if options.real_nodes and options.kubeconfig:
            msg = (
                f"real-nodes is {options.real_nodes}, but must be 0 with kubeconfig: "
                "an existing super cluster has its own nodes"
            )
            raise OptionsError(msg)
        if not 0 <= options.pod_start_delay <= 600:
            msg = f"pod-start-delay is {options.pod_start_delay}, but must be 0 to 600 seconds"
            raise OptionsError(msg)
        if not LABEL_VALUE.fullmatch(options.gpu_product):
            msg = (
                f"gpu-product is {options.gpu_product!r}, but must be a label's value: "
                "at most 63 letters, digits, '-', '_' or '.', no spaces"
            )
            raise OptionsError(msg)
        return options
