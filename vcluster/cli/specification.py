"""From what a person gives to ``vc create`` to a VirtualCluster object. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from vcluster import api
from vcluster.api import Object
from vcluster.cli.output import Failure

KIND = "VirtualCluster"
MAX_NAME_LENGTH = 40

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def check_name(name: str) -> None:
    """Raises Failure with what would be right."""
    if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise Failure(
            f"the name {name!r} cannot be used",
            f"at most {MAX_NAME_LENGTH} lower case letters, digits and '-', starting with a letter",
        )


def virtual_cluster(
    name: str, namespace: str, class_name: str, document: Mapping[str, Any] | None
) -> Object:
    """The object to create. ``document`` is a whole VirtualCluster or only its spec.

    Raises Failure where the file says another thing than the command.
    """
    check_name(name)
    if document is None:
        document = {}
    whole = _is_whole(document)
    spec = dict(document.get("spec") or {}) if whole else dict(document)
    metadata = dict(document.get("metadata") or {}) if whole else {}
    for field, wanted in (("name", name), ("namespace", namespace)):
        said = metadata.get(field, wanted)
        if said != wanted:
            raise Failure(
                f"metadata.{field} is {said!r} in the file, but {wanted!r} is to be created"
            )
    if class_name:
        said = spec.get("className", class_name)
        if said != class_name:
            raise Failure(f"spec.className is {said!r} in the file, but --class is {class_name!r}")
        spec["className"] = class_name
    return {
        "apiVersion": api.API_VERSION,
        "kind": KIND,
        "metadata": {**metadata, "name": name, "namespace": namespace},
        "spec": spec,
    }


def parse(text: str, origin: str) -> Mapping[str, Any]:
    """The one document of a YAML or JSON file. Raises Failure."""
    try:
        documents = [found for found in yaml.safe_load_all(text) if found is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise Failure(f"{origin}{where}: {problem}") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Failure(
            f"{origin} must hold one VirtualCluster, or only its spec; it holds {_what(documents)}",
            "an example: {nodes: {mode: used}}",
        )
    found: Mapping[str, Any] = documents[0]
    return found


def differences(wanted: Any, found: Any, path: str = "spec") -> Iterator[str]:
    """The paths at which two specs differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted(wanted.keys() | found.keys()):
            yield from differences(wanted.get(name), found.get(name), f"{path}.{name}")
    elif wanted != found:
        yield path


def _is_whole(document: Mapping[str, Any]) -> bool:
    """Whether it is an object, not only a spec. Raises Failure if it is another object."""
    if not document.keys() & {"apiVersion", "kind", "metadata", "spec"}:
        return False
    for field, wanted in (("apiVersion", api.API_VERSION), ("kind", KIND)):
        if document.get(field) != wanted:
            raise Failure(f"{field} is {document.get(field)!r} in the file; it must be {wanted!r}")
    unknown = document.keys() - {"apiVersion", "kind", "metadata", "spec", "status"}
    if unknown:
        raise Failure(f"unknown field {min(unknown)!r} in the file")
    for field in ("metadata", "spec"):
        if not isinstance(document.get(field) or {}, dict):
            raise Failure(f"{field} must be a mapping in the file; it is {document[field]!r}")
    return True


def _what(documents: list[Any]) -> str:
    if not documents:
        return "nothing"
    return (
        f"{len(documents)} documents" if len(documents) > 1 else f"a {type(documents[0]).__name__}"
    )
