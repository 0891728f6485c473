"""``/pods`` and ``/runningpods/``: the tenant's pods, as the tenant knows them. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kube.objects import Object, ObjectKey, decode_head, decode_object, encode
from node_agent.pods import SuperPod
from vcluster import api, hosts_file

SUPER_ONLY = ("managedFields", "ownerReferences", "resourceVersion", "selfLink", "generateName")


class _PodList(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


_decode_list = msgspec.json.Decoder(_PodList).decode


def filtered(body: bytes, pods: Mapping[ObjectKey, SuperPod]) -> Iterator[bytes]:
    """The list in pieces. Raises msgspec.MsgspecError, which is a ValueError, before the first."""
    return _pieces(_decode_list(body).items or [], pods)


def _pieces(items: list[msgspec.Raw], pods: Mapping[ObjectKey, SuperPod]) -> Iterator[bytes]:
    yield b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":['
    separator = b""
    for item in items:
        raw = bytes(item)
        metadata = decode_head(raw).metadata
        found = pods.get(ObjectKey(metadata.namespace, metadata.name))
        if found is None or found.uid != metadata.uid:
            continue
        yield separator + encode(tenant_pod(decode_object(raw), found))
        separator = b","
    yield b"]}\n"


def tenant_pod(pod: Object, mirror: SuperPod) -> Object:
    """The pod on the node with the tenant's names in its metadata, and none of our marks."""
    metadata = {name: value for name, value in pod["metadata"].items() if name not in SUPER_ONLY}
    metadata |= {
        "name": mirror.source.name,
        "namespace": mirror.source.namespace,
        "uid": mirror.source_uid,
    }
    for field in ("labels", "annotations"):
        if kept := _without_marks(metadata.pop(field, None) or {}):
            metadata[field] = kept
    spec = hosts_file.in_spec(pod.get("spec") or {})
    shown = pod | {"metadata": metadata, "spec": spec}
    if "status" in pod:
        shown["status"] = hosts_file.in_status(pod["status"])
    if "serviceAccountName" in spec:
        shown["spec"] = spec | {
            name: mirror.service_account
            for name in ("serviceAccountName", "serviceAccount")
            if name in spec
        }
    return shown


def _without_marks(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not key.startswith(api.PREFIX)}
