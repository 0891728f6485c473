"""Templates and values become Kubernetes objects; a missing value fails here, not in a cluster."""

from pathlib import Path
from typing import Any

import jinja2
import yaml

from vcluster.api import Object


class Manifests:
    """The templates below one folder. No value can break the YAML: ``tojson`` guards each."""

    def __init__(self, directory: Path) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directory),
            undefined=jinja2.StrictUndefined,
            autoescape=False,
            keep_trailing_newline=True,
        )
        self._environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "ensure_ascii": True}

    def render(self, template: str, **values: Any) -> list[Object]:
        """The objects of one template. Raises jinja2.UndefinedError, yaml.YAMLError."""
        text = self._environment.get_template(template).render(values)
        return [obj for obj in yaml.load_all(text, yaml.CSafeLoader) if obj]
