"""Which config maps and secrets the pods of one tenant use, and who waits for what."""

from kube.objects import ObjectKey
from syncer.kinds.pod_volumes import Reference
from syncer.runtime.workqueue import Request


class Usage:
    """An index from pods to what they name, and back."""

    def __init__(self) -> None:
        self._by_pod: dict[ObjectKey, tuple[Reference, ...]] = {}
        self._users: dict[tuple[str, ObjectKey], set[str]] = {}
        self._waiting: dict[tuple[str, ObjectKey], set[Request]] = {}
        self._shared: dict[tuple[Reference, ...], tuple[Reference, ...]] = {}

    def knows(self, pod: ObjectKey) -> bool:
        """What the pod names has been recorded."""
        return pod in self._by_pod

    def record(self, pod: ObjectKey, references: tuple[Reference, ...]) -> None:
        """The pod names these; pods of one template share the tuple."""
        references = self._shared.setdefault(references, references)
        if self._by_pod.get(pod) == references:
            return
        self.drop(pod)
        self._by_pod[pod] = references
        for reference in references:
            used = reference.kind, ObjectKey(pod.namespace, reference.name)
            self._users.setdefault(used, set()).add(pod.name)

    def of(self, pod: ObjectKey) -> tuple[Reference, ...]:
        """What the pod names."""
        return self._by_pod.get(pod, ())

    def drop(self, pod: ObjectKey) -> list[tuple[str, ObjectKey]]:
        """The pod has gone; what nobody uses any longer."""
        unused = []
        for reference in self._by_pod.pop(pod, ()):
            used = reference.kind, ObjectKey(pod.namespace, reference.name)
            users = self._users.get(used, set())
            users.discard(pod.name)
            if not users:
                self._users.pop(used, None)
                unused.append(used)
        return unused

    def in_use(self, kind: str, key: ObjectKey) -> bool:
        """A pod names the object."""
        return (kind, key) in self._users

    def used(self) -> list[tuple[str, ObjectKey]]:
        """All that pods name."""
        return list(self._users)

    def wait(self, kind: str, key: ObjectKey, request: Request) -> None:
        """The request can only succeed once the object is there."""
        self._waiting.setdefault((kind, key), set()).add(request)

    def wake(self, kind: str, key: ObjectKey) -> set[Request]:
        """The object is there: who has waited for it."""
        return self._waiting.pop((kind, key), set())
