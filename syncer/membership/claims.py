"""Who holds which buckets: one ConfigMap that is only ever replaced as a whole, version by version.

So no two members can claim one bucket: the second of two writes from one version is refused.
"""

from collections.abc import Mapping

import msgspec
import structlog

from kube.client import Client
from kube.errors import NotFound, Unreachable
from kube.objects import Metadata, ObjectKey, encode
from kube.resources import CONFIG_MAPS
from syncer import buckets
from syncer.membership.lease import COMPONENT
from vcluster import api

log = structlog.get_logger(__name__)

NAME = "syncer-buckets"


class Claim(msgspec.Struct, frozen=True):
    """What one member holds."""

    process: str
    """Changes whenever the member begins anew, so that a claim made before is never taken up blindly."""
    buckets: frozenset[int] = frozenset()


class Record(msgspec.Struct, frozen=True):
    """The claims of all members, at one version; empty: there is no record yet."""

    version: str = ""
    claims: Mapping[str, Claim] = {}


class _WrittenClaim(msgspec.Struct):
    process: str
    buckets: str


class _ConfigMap(msgspec.Struct):
    metadata: Metadata
    data: dict[str, str] = {}


async def read(client: Client, namespace: str) -> Record:
    """The record as it is now. What somebody has spoilt by hand is no claim. Raises ApiError, Unreachable."""
    try:
        raw = await client.get(CONFIG_MAPS, ObjectKey(namespace, NAME))
    except NotFound:
        return Record()
    try:
        found = msgspec.json.decode(raw, type=_ConfigMap)
    except msgspec.MsgspecError as error:
        raise Unreachable("the answer is not a ConfigMap") from error
    claims = {}
    for member, written in found.data.items():
        try:
            claim = msgspec.json.decode(written, type=_WrittenClaim)
            claims[member] = Claim(claim.process, buckets.parse(claim.buckets))
        except ValueError as error:
            log.warning("a claim cannot be read", member=member, reason=str(error))
    return Record(found.metadata.resource_version, claims)


async def write(
    client: Client, namespace: str, before: Record, claims: Mapping[str, Claim]
) -> None:
    """Replace the record that was read. Raises Conflict if it has changed meanwhile."""
    data = {
        member: msgspec.json.encode(
            _WrittenClaim(claim.process, buckets.text(claim.buckets))
        ).decode()
        for member, claim in sorted(claims.items())
    }
    key = ObjectKey(namespace, NAME)
    metadata = {"name": NAME, "namespace": namespace, "labels": {api.COMPONENT_LABEL: COMPONENT}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    if not before.version:
        await client.create(CONFIG_MAPS, key, encode(body))
        return
    metadata["resourceVersion"] = before.version
    await client.update(CONFIG_MAPS, key, encode(body))
