"""Pure translation, one file per mirrored kind; no I/O."""

from collections.abc import Sequence

from syncer.kinds.classes import PRIORITY_CLASS, RUNTIME_CLASS, STORAGE_CLASS
from syncer.kinds.configuration import CONFIG_MAP, SECRET
from syncer.kinds.custom_resource import custom_resource_down, custom_resource_up
from syncer.kinds.definition import DEFINITION
from syncer.kinds.devices import DEVICE_CLASS, RESOURCE_SLICE
from syncer.kinds.endpoint_slice import endpoint_slice_kind
from syncer.kinds.ingress import INGRESS
from syncer.kinds.ingress_class import INGRESS_CLASS
from syncer.kinds.mirror import DownwardKind, UpwardKind
from syncer.kinds.namespace import NAMESPACE
from syncer.kinds.network_policy import Ranges, network_policy_kind
from syncer.kinds.node import node_kind
from syncer.kinds.persistent_volume import PERSISTENT_VOLUME
from syncer.kinds.persistent_volume_claim import PERSISTENT_VOLUME_CLAIM
from syncer.kinds.pod_disruption_budget import POD_DISRUPTION_BUDGET
from syncer.kinds.resource_claim import RESOURCE_CLAIM
from syncer.kinds.service import SERVICE
from syncer.kinds.volume_snapshot import VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CLASS
from vcluster.sync import Sync

DOWNWARD: tuple[DownwardKind, ...] = (
    NAMESPACE,
    SERVICE,
    CONFIG_MAP,
    SECRET,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
    INGRESS,
)
"""All that need no configuration; ``downward_kinds`` has the rest as well."""

UPWARD: tuple[UpwardKind, ...] = (
    STORAGE_CLASS,
    PRIORITY_CLASS,
    RUNTIME_CLASS,
    INGRESS_CLASS,
    PERSISTENT_VOLUME,
)
"""All that need no configuration; ``upward_kinds`` has the rest as well."""


def upward_kinds(node_agent_port: int) -> tuple[UpwardKind, ...]:
    """Every kind that comes up; the port is that of the node agents, where nodes say no other."""
    return node_kind(node_agent_port), *UPWARD


def downward_kinds(
    denied_cidrs: Sequence[str], pod_cidrs: Sequence[str] = (), gateway_address: str = ""
) -> tuple[DownwardKind, ...]:
    """Every kind that goes down; endpoints and network policies may not name ``denied_cidrs``,
    policies no ``pod_cidrs`` either.

    But they may to the tenant's own API server, which pods reach at ``gateway_address``.

    Raises ValueError for what is no range.
    """
    ranges = Ranges.parse(pod_cidrs, denied_cidrs, gateway_address)
    return (
        *DOWNWARD,
        endpoint_slice_kind(denied_cidrs, gateway_address),
        network_policy_kind(ranges),
    )


def optional_kinds(options: Sync) -> tuple[list[DownwardKind], list[UpwardKind]]:
    """The kinds that the super cluster may not serve, as far as options ask for them; in both directions."""
    down, up = [], []
    if options.definitions:
        up.append(DEFINITION)
    if options.resource_claims:
        down.append(RESOURCE_CLAIM)
        up += [DEVICE_CLASS, RESOURCE_SLICE]
    if options.volume_snapshots:
        down.append(VOLUME_SNAPSHOT)
        up.append(VOLUME_SNAPSHOT_CLASS)
    for offered in options.custom_resources:
        if offered.direction == "down":
            down.append(custom_resource_down(offered))
        else:
            up.append(custom_resource_up(offered))
    return down, up
