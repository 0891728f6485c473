"""The trust bundles that a pod mounts, read from the tenant's API server."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import msgspec

from kube.errors import NotFound
from kube.objects import ObjectKey
from kube.resources import CLUSTER_TRUST_BUNDLES
from syncer.kinds.trust_bundles import TrustRequest, trust_anchors
from syncer.tenant_state import TenantState

LOOK_SECONDS = 60.0
"""Between two looks for bundles that have changed. The kubelet takes as long for a Secret."""
MISSING_SECONDS = 10.0
"""The same while a pod cannot start for want of one."""


class _Spec(msgspec.Struct, rename="camel"):
    trust_bundle: str = ""


class _Bundle(msgspec.Struct):
    spec: _Spec


_decode = msgspec.json.Decoder(_Bundle).decode


async def gather(
    state: TenantState, wanted: list[TrustRequest]
) -> tuple[dict[str, str | None], datetime]:
    """The Secret's data (None: there is nothing to mount), and when to look again."""
    data: dict[str, str | None] = {}
    for index, asked in enumerate(wanted):
        bundles = await (_named(state, asked) if asked.name else _selected(state, asked))
        there = bool(bundles) or asked.optional
        text = b64encode(trust_anchors(bundles).encode()).decode()
        data[f"trust-{index}"] = text if there else None
    seconds = MISSING_SECONDS if None in data.values() else LOOK_SECONDS
    return data, datetime.now(UTC) + timedelta(seconds=seconds)


async def _named(state: TenantState, asked: TrustRequest) -> list[str]:
    try:
        found = await state.client.get(CLUSTER_TRUST_BUNDLES, ObjectKey("", asked.name))
    except NotFound:
        return []
    return [_decode(found).spec.trust_bundle]


async def _selected(state: TenantState, asked: TrustRequest) -> list[str]:
    if asked.labels is None:
        return []
    return [
        _decode(bytes(item)).spec.trust_bundle
        async for page in state.client.pages(
            CLUSTER_TRUST_BUNDLES,
            label_selector=asked.labels,
            field_selector=f"spec.signerName={asked.signer}",
        )
        for item in page.items or ()
    ]
