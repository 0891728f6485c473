"""Kubernetes objects as plain data, and the little of them that is decoded when little is needed."""

from typing import Any, NamedTuple, TypeAlias

import msgspec

Object: TypeAlias = dict[str, Any]


class ObjectKey(NamedTuple):
    """Which object of a kind: its namespace (empty for cluster-scoped kinds) and its name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Metadata(msgspec.Struct, gc=False, rename="camel"):
    """The part of an object's metadata that a cache or a decision needs."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None


class Head(msgspec.Struct, gc=False):
    """An object of which only the metadata is decoded."""

    metadata: Metadata


class ListMetadata(msgspec.Struct, gc=False, rename="camel"):
    """The metadata of a list: where to watch from, and the token of the next page."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class ObjectList(msgspec.Struct, gc=False):
    """A page of a list; the items stay bytes."""

    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


class _WatchLine(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class WatchEvent(NamedTuple):
    """One line of a watch; the object stays bytes."""

    type: str
    object: bytes


decode_object = msgspec.json.Decoder(Object).decode
decode_head = msgspec.json.Decoder(Head).decode
decode_list = msgspec.json.Decoder(ObjectList).decode
_decode_watch_line = msgspec.json.Decoder(_WatchLine).decode
encode = msgspec.json.Encoder().encode

_BEGINNINGS = {
    b'{"type":"%s"' % event.encode(): event for event in ("ADDED", "MODIFIED", "DELETED")
}
_OBJECT = b',"object":'


def decode_watch_event(line: bytes) -> WatchEvent:
    """The event in a line, without its line feed. Raises msgspec.MsgspecError.

    kube-apiserver writes the type first and nothing after the object. Such a line is only cut: its
    object is not looked at here, since whoever takes it decodes it anyway.
    """
    start = line.find(_OBJECT, 0, 32)
    event = _BEGINNINGS.get(line[:start])
    if event is not None and line.endswith(b"}}"):
        return WatchEvent(event, line[start + len(_OBJECT) : -1])
    found = _decode_watch_line(line)
    return WatchEvent(found.type, bytes(found.object))


def key_of(obj: Object) -> ObjectKey:
    """The key of a decoded object."""
    metadata = obj["metadata"]
    return ObjectKey(metadata.get("namespace", ""), metadata["name"])
