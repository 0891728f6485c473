"""Label and field selectors, as far as clients use them."""

import re
from collections.abc import Mapping
from typing import Any

from kube.objects import Object
from tests.fakes.status import bad_request

_SET = re.compile(r"^\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*$")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def selects(obj: Object, label_selector: str, field_selector: str) -> bool:
    """Whether the object is selected by both."""
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return all(_label(labels, term) for term in _terms(label_selector)) and all(
        _field(obj, term) for term in _terms(field_selector)
    )


def _terms(selector: str) -> list[str]:
    return [term for term in _COMMA_OUTSIDE_PARENTHESES.split(selector) if term.strip()]


def _label(labels: Mapping[str, str], term: str) -> bool:
    if match := _SET.match(term):
        key, operator, listed = match.groups()
        values = [value.strip() for value in listed.split(",")]
        return (labels.get(key) in values) == (operator == "in")
    if "=" not in term:
        wanted = not term.strip().startswith("!")
        return (term.strip().lstrip("!") in labels) == wanted
    key, negated, value = _equation(term)
    return (labels.get(key) == value) != negated


def _field(obj: Object, term: str) -> bool:
    if "=" not in term:
        raise bad_request(f"invalid field selector: {term!r}")
    path, negated, value = _equation(term)
    found: Any = obj
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return (str(found if found is not None else "") == value) != negated


def _equation(term: str) -> tuple[str, bool, str]:
    left, _, right = term.partition("=")
    return left.rstrip("!").strip(), left.endswith("!"), right.lstrip("=").strip()
