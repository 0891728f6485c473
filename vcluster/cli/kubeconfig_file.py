"""A kubeconfig merged into another one. Deciding is pure; writing is one atomic step."""

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from vcluster import api
from vcluster.cli.output import Failure

LISTS = ("clusters", "users", "contexts")
LOCK_SECONDS = 5.0

Config = dict[str, Any]


class _Loader(yaml.CSafeLoader):
    """Timestamps stay text: what is not ours must come out as it went in."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def parse(data: bytes, path: Path) -> Config:
    """A kubeconfig; an empty file is an empty one. Raises Failure, never guesses."""
    hint = "it was not changed; correct it, or write to another file with -o"
    try:
        found = yaml.load(data, Loader=_Loader)
    except yaml.YAMLError as error:
        raise Failure(f"{path} is not YAML", hint) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Failure(f"{path} is not a kubeconfig", hint)
    for field in LISTS:
        items = found.get(field) or []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Failure(f"{path} is not a kubeconfig: {field} must be a list of mappings", hint)
    return found


def merge(into: Config, tenant: Config, name: str, key: str) -> Config:
    """``into`` with the tenant's one context as ``name``; everything else as it was.

    Entries carry the tenant's key, so that a later merge may replace them. Raises Failure if the
    name is taken by an entry that is not ours.
    """
    merged = dict(into) or {"apiVersion": "v1", "kind": "Config"}
    mark = {"name": api.GROUP, "extension": {"tenantKey": key}}
    parts = {
        "clusters": {"cluster": {**tenant["clusters"][0]["cluster"], "extensions": [mark]}},
        "users": {"user": {**tenant["users"][0]["user"], "extensions": [mark]}},
        "contexts": {"context": {"cluster": name, "user": name, "extensions": [mark]}},
    }
    for field, content in parts.items():
        entries = list(into.get(field) or [])
        places = [i for i, entry in enumerate(entries) if entry.get("name") == name]
        entry = {"name": name, **content}
        if not places:
            entries.append(entry)
        elif _is_ours(entries[places[0]], field):
            entries[places[0]] = _keeping_namespace(entries[places[0]], entry)
        else:
            raise Failure(
                f"the kubeconfig has {field} named {name!r} already, which vc did not make",
                "choose another name with --context-name",
            )
        merged[field] = entries
    return merged


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """kubectl's own lock of a kubeconfig. Raises Failure if somebody keeps it."""
    lock = path.with_name(f"{path.name}.lock")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                hint = "another program writes it; if none does, delete that file"
                raise Failure(f"{path} is locked by {lock}", hint) from None
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Replace a file in one step; only its owner may read it. A link stays a link."""
    target = path.resolve()
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        target.write_bytes(data)  # a pipe or a device, as in -o >(...)
        return
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def dump(config: Config) -> bytes:
    """As YAML, in the order given."""
    text: str = yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return text.encode()


def _is_ours(entry: Mapping[str, Any], field: str) -> bool:
    content = entry.get(field.removesuffix("s")) or {}
    return any(item.get("name") == api.GROUP for item in content.get("extensions") or [])


def _keeping_namespace(old: Config, new: Config) -> Config:
    """The person may have chosen a default namespace for the context."""
    namespace = (old.get("context") or {}).get("namespace")
    if namespace and "context" in new:
        return {**new, "context": {**new["context"], "namespace": namespace}}
    return new
