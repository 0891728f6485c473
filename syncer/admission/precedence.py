"""What is known of the order among one tenant's pods: who could give way, what was promised to whom."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from kube.objects import ObjectKey
from syncer.admission.pod_usage import Usage
from syncer.entries import TenantPod


class Nomination(NamedTuple):
    """Room on a node that is kept for a pod."""

    node: str
    amounts: Usage


class Precedence:
    """Of one tenant. Lost with the process: nominations stand in the pods' status too."""

    def __init__(self) -> None:
        self._pods = Counter[int]()
        """How many have which priority."""
        self._nominations: dict[ObjectKey, Nomination] = {}
        self._looks: dict[ObjectKey, int] = {}

    def count(self, before: TenantPod | None, after: TenantPod | None) -> None:
        """A pod has come, changed or gone."""
        if before and after and before.priority == after.priority:
            return
        if after:
            self._pods[after.priority] += 1
        if before:
            self._pods[before.priority] -= 1
            if not self._pods[before.priority]:
                del self._pods[before.priority]

    def outranks(self, priority: int) -> bool:
        """The tenant has pods of a lower priority."""
        return any(lower < priority for lower in self._pods)

    def looked(self, pod: ObjectKey) -> int:
        """Room was looked for; how often it has been for this pod."""
        self._looks[pod] = self._looks.get(pod, 0) + 1
        return self._looks[pod]

    def nominate(self, pod: ObjectKey, nomination: Nomination) -> None:
        """Promise room to a pod."""
        self._nominations[pod] = nomination

    def nominations(self) -> Iterator[tuple[ObjectKey, Nomination]]:
        """What was promised, as far as nobody has said ``settled``."""
        return iter(list(self._nominations.items()))

    def settled(self, pod: ObjectKey) -> None:
        """The pod has its room, or needs none any more."""
        self._nominations.pop(pod, None)
        self._looks.pop(pod, None)
