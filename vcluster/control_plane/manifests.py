"""Templates and values become Kubernetes objects; a missing value fails here, not in a cluster."""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import yaml

from vcluster.api import Object

KUBERNETES_ENDPOINTS = "tenant/kubernetes-endpoints.yaml.j2"
"""The endpoints of ``default/kubernetes``; values: address, port."""

KEPT = 512
"""Texts of which the objects are remembered: each pass over each tenant renders the same ones again."""


class Manifests:
    """The templates below one folder. No value can break the YAML: ``tojson`` guards each."""

    def __init__(self, directory: Path) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directory),
            undefined=jinja2.StrictUndefined,
            autoescape=False,
            keep_trailing_newline=True,
        )
        self._environment.policies["json.dumps_function"] = _scalar

    def render(self, template: str, **values: Any) -> list[Object]:
        """The objects of one template. Raises jinja2.UndefinedError, yaml.YAMLError."""
        text = self._environment.get_template(template).render(values)
        return msgspec.json.decode(_objects(text), type=list[Object])


@lru_cache(KEPT)
def _objects(text: str) -> bytes:
    """As JSON: whoever gets the objects may change them."""
    return msgspec.json.encode([obj for obj in yaml.load_all(text, yaml.CSafeLoader) if obj])


def _scalar(value: Any, **_: Any) -> str:
    """JSON that YAML reads as the same value: YAML knows no surrogate pairs."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=_refuse)
    return re.sub("[^\x20-\x7e]", lambda match: f"\\U{ord(match[0]):08x}", text)


def _refuse(value: Any) -> str:
    """Called for what JSON cannot hold. A missing value says its name."""
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises UndefinedError
    raise TypeError(f"{type(value).__name__} is no value for a template")
