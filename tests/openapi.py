"""Objects that use every field an API server knows, made from its own OpenAPI document.

The document is what ``kubectl get --raw /openapi/v3/api/v1`` prints. The objects have the right shape
and distinct, sensible leaves, but need not be valid: fields that exclude each other are all there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

REF_PREFIX = "#/components/schemas/"
OMIT = object()
"""As an override: leave the field away."""

LEAVES: Mapping[str, Any] = {
    "date-time": "2026-01-01T00:00:00Z",
    "byte": "Ynl0ZXM=",
    "int-or-string": 8080,
    "double": 0.5,
    "float": 0.5,
}
"""By format; the format says more than the type."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of one OpenAPI v3 document."""

    by_name: Mapping[str, Any]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Schemas":
        """The schemas of a decoded document."""
        return cls(document["components"]["schemas"])

    def example(self, name: str, overrides: Mapping[str, Any] | None = None) -> Any:
        """A value of the schema ``name`` (``io.k8s.api.core.v1.PodSpec``) with every field set.

        ``overrides`` gives values by path (``containers[].image``), or OMIT. A schema within itself
        is left away. Raises KeyError for an unknown schema, ValueError for an override of no field.
        """
        build = _Build(self.by_name, dict(overrides or {}))
        value = build.value({"$ref": REF_PREFIX + name}, "", ())
        if unused := build.overrides.keys() - build.used:
            raise ValueError(f"no such field: {', '.join(sorted(unused))}")
        return value


@dataclass(slots=True)
class _Build:
    schemas: Mapping[str, Any]
    overrides: dict[str, Any]
    used: set[str] = field(default_factory=set)

    def value(self, schema: Mapping[str, Any], path: str, within: tuple[str, ...]) -> Any:
        if path in self.overrides:
            self.used.add(path)
            return self.overrides[path]
        reference = _reference(schema)
        if reference in within:
            return OMIT
        if reference:
            return self.value(self.schemas[reference], path, (*within, reference))
        return self._structure(schema, path, within)

    def _structure(self, schema: Mapping[str, Any], path: str, within: tuple[str, ...]) -> Any:
        if "properties" in schema:
            return self._object(schema["properties"], path, within)
        if items := schema.get("additionalProperties"):
            item = self.value(items if isinstance(items, dict) else {}, f"{path}{{}}", within)
            return _around(item, {"key": item})
        if schema.get("type") == "array":
            item = self.value(schema["items"], f"{path}[]", within)
            return _around(item, [item])
        return _leaf(schema, path)

    def _object(self, properties: Mapping[str, Any], path: str, within: tuple[str, ...]) -> Any:
        prefix = f"{path}." if path else ""
        values = {
            name: self.value(schema, f"{prefix}{name}", within)
            for name, schema in properties.items()
        }
        return {name: value for name, value in values.items() if value is not OMIT}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path (``containers[0].image``). Empty objects and lists are leaves."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _reference(schema: Mapping[str, Any]) -> str:
    """The name of the schema that this one stands for, or nothing."""
    one = schema.get("allOf")
    target = one[0] if one and len(one) == 1 else schema
    reference: str = target.get("$ref", "")
    return reference.removeprefix(REF_PREFIX)


def _around(item: Any, container: Any) -> Any:
    return OMIT if item is OMIT else container


def _leaf(schema: Mapping[str, Any], path: str) -> Any:
    if values := schema.get("enum"):
        return next(value for value in values if value != "")
    if schema.get("format") in LEAVES:
        return LEAVES[schema["format"]]
    kind = schema.get("type") or next((one["type"] for one in schema.get("oneOf", ())), "object")
    if kind == "string" and "oneOf" in schema:
        return "1"  # a quantity
    return {"string": _word(path), "boolean": True, "integer": 7, "number": 0.5}.get(
        kind, {"any": "value"}
    )


def _word(path: str) -> str:
    """The field's name in the spelling of a Kubernetes name, so that leaves can be told apart."""
    names = re.findall(r"[A-Za-z0-9]+", path)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", names[-1] if names else "value").lower()
