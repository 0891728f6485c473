"""Super pods that we remove so as to make others in their place."""

from kube.objects import ObjectKey
from syncer.entries import SuperPod


class MadeAnew:
    """Of one tenant: whose end means nothing for its pod, and which pods await another super pod."""

    def __init__(self) -> None:
        self._removed: dict[str, bool] = {}  # by UID: also if it has a node
        self._awaited: dict[ObjectKey, str] = {}

    def remove(self, uid: str, *, placed: bool = False) -> None:
        """We are about to remove the super pod of this UID; ``placed``: even if it is bound by now."""
        self._removed[uid] = placed

    def keep(self, uid: str) -> None:
        """It was certainly not removed; or it is gone, and that has been heeded."""
        self._removed.pop(uid, None)

    def is_removed(self, pod: SuperPod) -> bool:
        """Its end means nothing for the tenant's pod: another one follows."""
        placed = self._removed.get(pod.uid)
        return placed is not None and (placed or not pod.node)

    def expect(self, key: ObjectKey, uid: str) -> None:
        """The tenant's pod of this UID, though it is bound, has no super pod: one is to be made."""
        self._awaited[key] = uid

    def expects(self, key: ObjectKey, uid: str) -> bool:
        """Whether that is so."""
        return self._awaited.get(key) == uid

    def settled(self, key: ObjectKey) -> None:
        """There is one, or the tenant's pod has gone."""
        self._awaited.pop(key, None)
