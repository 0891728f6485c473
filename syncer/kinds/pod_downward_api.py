"""The downward API of a super pod: what a container is shown of its pod is the tenant's."""

from collections.abc import Iterator, Mapping

from kube.objects import Object
from vcluster import api

# Where the kubelet would show the super cluster's value, it shows an annotation of the mirror.
FIELD_PATHS = {
    "metadata.namespace": f"metadata.annotations['{api.NAMESPACE_ANNOTATION}']",
    "metadata.uid": f"metadata.annotations['{api.UID_ANNOTATION}']",
    "spec.serviceAccountName": f"metadata.annotations['{api.SERVICE_ACCOUNT_ANNOTATION}']",
}
# All labels or annotations at once, which only a volume can show: ours would be among them. So the
# mirror carries the text that the kubelet would make of the tenant's.
WHOLE = {
    "metadata.labels": api.SHOWN_LABELS_ANNOTATION,
    "metadata.annotations": api.SHOWN_ANNOTATIONS_ANNOTATION,
}
ABSENT = f"metadata.annotations['{api.PREFIX}absent']"
"""Shown as empty, as a label or annotation is that the pod has not."""
OURS = tuple(f"{field}['{api.PREFIX}" for field in WHOLE)

_ESCAPED = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}


def field_reference(reference: Object) -> Object:
    """A reference to a field of the pod as it goes down."""
    path = reference.get("fieldPath", "")
    if annotation := WHOLE.get(path):
        return reference | {"fieldPath": f"metadata.annotations['{annotation}']"}
    key = path.partition("['")[2].removesuffix("']")
    if path.startswith(OURS) and key not in api.TENANT_KEYS:
        return reference | {"fieldPath": ABSENT}
    return reference | {"fieldPath": FIELD_PATHS.get(path, path)}


def shown_texts(pod: Object) -> dict[str, str]:
    """The annotations of the mirror that volumes of this pod show; none for most pods."""
    wanted = {WHOLE[path] for path in _volume_paths(pod["spec"]) if path in WHOLE}
    return {
        annotation: _formatted(pod["metadata"].get(path.removeprefix("metadata.")) or {})
        for path, annotation in WHOLE.items()
        if annotation in wanted
    }


def _volume_paths(spec: Object) -> Iterator[str]:
    for volume in spec.get("volumes") or ():
        projected = (volume.get("projected") or {}).get("sources") or ()
        for source in (volume, *projected):
            for item in (source.get("downwardAPI") or {}).get("items") or ():
                yield (item.get("fieldRef") or {}).get("fieldPath", "")


def _formatted(values: Mapping[str, str]) -> str:
    """As the kubelet writes a map (pkg/fieldpath FormatMap): sorted lines ``key="value"``."""
    return "\n".join(f'{key}="{_quoted(value)}"' for key, value in sorted(values.items()))


def _quoted(text: str) -> str:
    """The inside of what Go's strconv.Quote makes of a string."""
    return "".join(map(_quoted_character, text))


def _quoted_character(character: str) -> str:
    if escaped := _ESCAPED.get(character):
        return escaped
    # Go and Python agree on what is printable: letters, marks, numbers, punctuation, symbols, space.
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
