"""Pure translation, one file per mirrored kind; no I/O."""

from collections.abc import Sequence

from syncer.kinds.classes import PRIORITY_CLASS, RUNTIME_CLASS, STORAGE_CLASS
from syncer.kinds.configuration import CONFIG_MAP, SECRET
from syncer.kinds.endpoint_slice import endpoint_slice_kind
from syncer.kinds.mirror import DownwardKind, UpwardKind
from syncer.kinds.namespace import NAMESPACE
from syncer.kinds.node import NODE
from syncer.kinds.service import SERVICE

DOWNWARD: tuple[DownwardKind, ...] = (NAMESPACE, SERVICE, CONFIG_MAP, SECRET)
"""All that need no configuration; ``downward_kinds`` has the rest as well."""

UPWARD: tuple[UpwardKind, ...] = (NODE, STORAGE_CLASS, PRIORITY_CLASS, RUNTIME_CLASS)


def downward_kinds(denied_cidrs: Sequence[str]) -> tuple[DownwardKind, ...]:
    """Every kind that goes down; endpoints may not point into ``denied_cidrs``.

    Raises ValueError for what is no range.
    """
    return (*DOWNWARD, endpoint_slice_kind(denied_cidrs))
