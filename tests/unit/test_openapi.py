"""The generator of objects with every field, on a document of a few lines."""

import pytest

from tests.openapi import OMIT, Schemas, leaves

SCHEMAS = Schemas(
    {
        "Pod": {
            "properties": {
                "name": {"type": "string"},
                "hostNetwork": {"type": "boolean"},
                "containers": {
                    "type": "array",
                    "items": {"allOf": [{"$ref": "#/components/schemas/C"}]},
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "owner": {"$ref": "#/components/schemas/Pod"},
                "started": {"format": "date-time", "type": "string"},
                "any": {"type": "object"},
            }
        },
        "C": {
            "properties": {
                "imageName": {"type": "string"},
                "port": {
                    "format": "int-or-string",
                    "oneOf": [{"type": "integer"}, {"type": "string"}],
                },
                "cpu": {"oneOf": [{"type": "string"}, {"type": "number"}]},
                "policy": {"type": "string", "enum": ["", "Always"]},
            }
        },
    }
)


def test_every_field_is_there_but_what_contains_itself() -> None:
    assert SCHEMAS.example("Pod") == {
        "name": "name",
        "hostNetwork": True,
        "containers": [{"imageName": "image-name", "port": 8080, "cpu": "1", "policy": "Always"}],
        "labels": {"key": "labels"},
        "started": "2026-01-01T00:00:00Z",
        "any": {"any": "value"},
    }


def test_values_can_be_chosen_by_path() -> None:
    pod = SCHEMAS.example("Pod", {"containers[].port": 1, "labels{}": "x", "name": OMIT})
    assert pod["containers"][0]["port"] == 1
    assert pod["labels"] == {"key": "x"}
    assert "name" not in pod


def test_a_choice_for_no_field_is_an_error() -> None:
    with pytest.raises(ValueError, match="nmae"):
        SCHEMAS.example("Pod", {"nmae": "x"})


def test_leaves_have_paths() -> None:
    assert dict(leaves({"a": [{"b": 1}], "c": {}, "d": []})) == {"a[0].b": 1, "c": {}, "d": []}
