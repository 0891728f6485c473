"""Gangs of which some pods are in the super cluster already. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kube.objects import ObjectKey
from syncer.admission.gangs import Gang
from syncer.admission.nodes import Wanted
from syncer.admission.pod_usage import Usage


class Missing(NamedTuple):
    """A pod of a gang that has begun, which is not in the super cluster."""

    tenant: str
    gang: str
    key: ObjectKey
    """Stands for a super pod that has no name yet."""
    usage: Usage
    wanted: Wanted | None


@dataclass(slots=True)
class _Begun:
    size: int
    usage: Usage
    wanted: Wanted | None
    pods: set[ObjectKey] = field(default_factory=set)


class BegunGangs:
    """By tenant and name, from what the super cluster says."""

    def __init__(self) -> None:
        self._gangs: dict[tuple[str, str], _Begun] = {}

    def __contains__(self, gang: tuple[str, str]) -> bool:
        return gang in self._gangs

    def alive(
        self, tenant: str, gang: Gang, pod: ObjectKey, usage: Usage, wanted: Wanted | None
    ) -> None:
        """A pod of the gang runs, will run, or has succeeded."""
        begun = self._gangs.setdefault((tenant, gang.name), _Begun(gang.size, usage, wanted))
        begun.pods.add(pod)

    def gone(self, tenant: str, gang: Gang, pod: ObjectKey) -> None:
        """A pod of the gang has failed, is being deleted or is gone."""
        begun = self._gangs.get((tenant, gang.name))
        if begun is not None:
            begun.pods.discard(pod)
            if not begun.pods:
                del self._gangs[tenant, gang.name]

    def missing(self, tenant: str = "") -> Iterator[Missing]:
        """What the gangs (of one tenant, or all) lack; the rest is taken to be like the first."""
        for (owner, name), begun in self._gangs.items():
            if tenant in ("", owner):
                for index in range(len(begun.pods), begun.size):
                    key = ObjectKey(f"{owner} {name}", str(index))
                    yield Missing(owner, name, key, begun.usage, begun.wanted)
