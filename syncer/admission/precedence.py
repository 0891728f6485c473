"""What is known of the order among one tenant's pods: who could give way, what was promised to whom."""

from collections.abc import Iterator
from typing import NamedTuple

from kube.objects import ObjectKey
from syncer.admission.pod_usage import Usage


class Nomination(NamedTuple):
    """Room on a node that is kept for a pod."""

    node: str
    amounts: Usage


class Precedence:
    """Of one tenant. Lost with the process: nominations stand in the pods' status too."""

    def __init__(self) -> None:
        self._lowest: int | None = None
        """No pod has a lower priority; there may be none any more that has this one."""
        self._nominations: dict[ObjectKey, Nomination] = {}
        self._looks: dict[ObjectKey, int] = {}

    def seen(self, priority: int) -> None:
        """A pod of this priority is there."""
        if self._lowest is None or priority < self._lowest:
            self._lowest = priority

    def lowest_is(self, priority: int | None) -> None:
        """All pods have been looked at: the lowest priority; None: there is no pod."""
        self._lowest = priority

    def outranks(self, priority: int) -> bool:
        """The tenant may have pods of a lower priority."""
        return self._lowest is not None and self._lowest < priority

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
