"""Which member mirrors which tenants: rendezvous hashing of the buckets over the live members. Pure.

Each bucket goes to the member with the highest score for it. A member that comes takes only what it
wins; of a member that goes, only its own buckets move.
"""

from collections.abc import Collection, Iterable
from hashlib import sha256

from vcluster import api

ALL = frozenset(range(api.BUCKETS))


def share(member: str, members: Collection[str]) -> frozenset[int]:
    """The buckets that ``member`` should have while ``members`` live (itself among them)."""
    alive = {member, *members}
    return frozenset(
        bucket for bucket in ALL if max(alive, key=lambda name: _score(bucket, name)) == member
    )


def _score(bucket: int, member: str) -> bytes:
    return sha256(f"{bucket}/{member}".encode()).digest()


def selector(buckets: Collection[int]) -> str:
    """The label selector of these buckets' mirrors; there must be at least one."""
    if not ALL - set(buckets):
        return api.TENANT_LABEL  # the label itself: shorter to say and cheaper to evaluate
    return f"{api.BUCKET_LABEL} in ({','.join(map(str, sorted(buckets)))})"


def others_selector(buckets: Collection[int]) -> str:
    """The label selector of the device pods in all buckets but these."""
    return f"{api.DEVICES_LABEL},{api.BUCKET_LABEL} notin ({','.join(map(str, sorted(buckets)))})"


def text(buckets: Iterable[int]) -> str:
    """For people and for the record: ``0-5,9,12-13``."""
    runs: list[list[int]] = []
    for bucket in sorted(buckets):
        if runs and bucket == runs[-1][1] + 1:
            runs[-1][1] = bucket
        else:
            runs.append([bucket, bucket])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def parse(written: str) -> frozenset[int]:
    """The reverse of ``text``. Raises ValueError."""
    found: set[int] = set()
    for run in filter(None, written.split(",")):
        low, _, high = run.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    if not found <= ALL:
        msg = f"buckets are {written!r}, but must be between 0 and {api.BUCKETS - 1}"
        raise ValueError(msg)
    return frozenset(found)
