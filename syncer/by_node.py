"""Which objects are of which node, so that they are shown where the node is. Pure."""

from typing import NamedTuple


class OfNode(NamedTuple):
    """An object of the super cluster without a namespace."""

    plural: str
    name: str


class ByNode:
    """An index from nodes to objects; holds nothing of objects that are gone."""

    def __init__(self) -> None:
        self._nodes: dict[OfNode, str] = {}
        self._objects: dict[str, set[OfNode]] = {}

    def put(self, plural: str, name: str, node: str) -> None:
        """The object is of this node; of none, if that is empty."""
        item = OfNode(plural, name)
        before = self._nodes.pop(item, "")
        if before:
            self._objects[before].discard(item)
            if not self._objects[before]:
                del self._objects[before]
        if node:
            self._nodes[item] = node
            self._objects.setdefault(node, set()).add(item)

    def of(self, node: str) -> list[OfNode]:
        """The objects of a node."""
        return sorted(self._objects.get(node, ()))
