"""Pure translation, one file per mirrored kind; no I/O."""

from collections.abc import Sequence

from syncer.kinds.classes import PRIORITY_CLASS, RUNTIME_CLASS, STORAGE_CLASS
from syncer.kinds.configuration import CONFIG_MAP, SECRET
from syncer.kinds.endpoint_slice import endpoint_slice_kind
from syncer.kinds.mirror import DownwardKind, UpwardKind
from syncer.kinds.namespace import NAMESPACE
from syncer.kinds.network_policy import NETWORK_POLICY
from syncer.kinds.node import NODE
from syncer.kinds.persistent_volume import PERSISTENT_VOLUME
from syncer.kinds.persistent_volume_claim import PERSISTENT_VOLUME_CLAIM
from syncer.kinds.pod_disruption_budget import POD_DISRUPTION_BUDGET
from syncer.kinds.service import SERVICE

DOWNWARD: tuple[DownwardKind, ...] = (
    NAMESPACE,
    SERVICE,
    CONFIG_MAP,
    SECRET,
    PERSISTENT_VOLUME_CLAIM,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
)
"""All that need no configuration; ``downward_kinds`` has the rest as well."""

UPWARD: tuple[UpwardKind, ...] = (
    NODE,
    STORAGE_CLASS,
    PRIORITY_CLASS,
    RUNTIME_CLASS,
    PERSISTENT_VOLUME,
)


def downward_kinds(
    denied_cidrs: Sequence[str], gateway_address: str = ""
) -> tuple[DownwardKind, ...]:
    """Every kind that goes down; endpoints may not point into ``denied_cidrs``.

    But they may to the tenant's own API server, which pods reach at ``gateway_address``.

    Raises ValueError for what is no range.
    """
    return (*DOWNWARD, endpoint_slice_kind(denied_cidrs, gateway_address))
