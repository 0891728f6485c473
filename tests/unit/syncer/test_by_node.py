"""The index from nodes to what is of them."""

from syncer.by_node import ByNode, OfNode


def test_an_object_is_found_by_its_node_only_while_it_is_of_it() -> None:
    index = ByNode()
    index.put("resourceslices", "a", "node-1")
    index.put("resourceslices", "b", "node-1")
    assert index.of("node-1") == [OfNode("resourceslices", "a"), OfNode("resourceslices", "b")]
    index.put("resourceslices", "a", "node-2")
    assert index.of("node-1") == [OfNode("resourceslices", "b")]
    assert index.of("node-2") == [OfNode("resourceslices", "a")]
    index.put("resourceslices", "a", "")
    index.put("resourceslices", "b", "")
    assert not index.of("node-1")
    assert not index.of("node-2")
