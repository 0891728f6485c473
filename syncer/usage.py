"""Which config maps, secrets and claims the pods of one tenant use, and who waits for what."""

from kube.objects import ObjectKey
from syncer.kinds.pod_volumes import Reference
from syncer.runtime.workqueue import Request

References = tuple[Reference, ...]


class Waiting(Exception):
    """The object can only go down once another one is there; it is asked for again then."""

    def __init__(self, kind: str, key: ObjectKey) -> None:
        super().__init__(f"waits for {kind} {key}")
        self.kind = kind
        self.key = key


class Usage:
    """An index from pods to what they name, and back. Holds nothing of pods that are gone."""

    def __init__(self) -> None:
        self._by_pod: dict[ObjectKey, References] = {}
        self._users: dict[tuple[str, ObjectKey], set[str]] = {}
        self._waiting: dict[tuple[str, ObjectKey], set[Request]] = {}
        self._waits_for: dict[Request, tuple[str, ObjectKey]] = {}
        self._shared: dict[References, tuple[References, int]] = {}
        self._left: set[tuple[str, ObjectKey]] = set()

    def knows(self, pod: ObjectKey) -> bool:
        """What the pod names has been recorded."""
        return pod in self._by_pod

    def record(self, pod: ObjectKey, references: References) -> None:
        """The pod names these; pods of one template share the tuple."""
        if self._by_pod.get(pod) == references:
            return
        for used in self.drop(pod):
            self._left.discard(used)  # nobody asks: it may go with the next patrol
        references, users = self._shared.get(references, (references, 0))
        self._shared[references] = references, users + 1
        self._by_pod[pod] = references
        for reference in references:
            used = reference.kind, ObjectKey(pod.namespace, reference.name)
            self._users.setdefault(used, set()).add(pod.name)
            self._left.discard(used)

    def of(self, pod: ObjectKey) -> References:
        """What the pod names."""
        return self._by_pod.get(pod, ())

    def drop(self, pod: ObjectKey) -> list[tuple[str, ObjectKey]]:
        """The pod has gone; what nobody uses any longer, and ``was_left`` has to be asked for."""
        references = self._by_pod.pop(pod, None)
        if references is None:
            return []
        _, users = self._shared[references]
        if users == 1:
            del self._shared[references]
        else:
            self._shared[references] = references, users - 1
        unused = []
        for reference in references:
            used = reference.kind, ObjectKey(pod.namespace, reference.name)
            names = self._users.get(used, set())
            names.discard(pod.name)
            if not names and self._users.pop(used, None) is not None:
                unused.append(used)
                self._left.add(used)
        return unused

    def in_use(self, kind: str, key: ObjectKey) -> bool:
        """A pod names the object."""
        return (kind, key) in self._users

    def was_left(self, kind: str, key: ObjectKey) -> bool:
        """We have seen the last pod go that named the object; true once."""
        seen = (kind, key) in self._left
        self._left.discard((kind, key))
        return seen

    def used(self) -> list[tuple[str, ObjectKey]]:
        """All that pods name."""
        return list(self._users)

    def wait(self, kind: str, key: ObjectKey, request: Request) -> None:
        """The request can only succeed once the object is there; it waits for one at a time."""
        self.settle(request)
        self._waiting.setdefault((kind, key), set()).add(request)
        self._waits_for[request] = kind, key

    def settle(self, request: Request) -> None:
        """The request no longer waits."""
        if (awaited := self._waits_for.pop(request, None)) is None:
            return
        waiting = self._waiting[awaited]
        waiting.discard(request)
        if not waiting:
            del self._waiting[awaited]

    def wake(self, kind: str, key: ObjectKey) -> set[Request]:
        """The object is there: who has waited for it."""
        woken = self._waiting.pop((kind, key), set())
        for request in woken:
            del self._waits_for[request]
        return woken
