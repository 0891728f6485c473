"""The subresources that are actions: binding, eviction, token."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kube.objects import Object
from tests.fakes import patches, status
from tests.fakes.clock import now
from tests.fakes.targets import Target
from tests.fakes.verbs import Verbs


def post(verbs: Verbs, target: Target, body: Object) -> tuple[int, Object]:
    """POST to a subresource."""
    if target.plural == "pods" and target.subresource == "binding":
        return 201, bind(verbs, target._replace(subresource=""), body)
    if target.plural == "pods" and target.subresource == "eviction":
        verbs.delete(target._replace(subresource=""), body.get("deleteOptions") or {})
        return 201, status.success({})
    if target.plural == "serviceaccounts" and target.subresource == "token":
        return 201, request_token(verbs, target._replace(subresource=""), body)
    raise status.unknown_path()


def bind(verbs: Verbs, target: Target, body: Object) -> Object:
    """Give a pod its node, once."""
    wanted = body.get("metadata") or {}
    if wanted.get("name", target.name) != target.name:
        raise status.bad_request("the name of the object does not match the name on the URL")
    pod = verbs.get(target)
    metadata = pod["metadata"]
    if wanted.get("uid", metadata["uid"]) != metadata["uid"]:
        raise status.wrong_uid("pods/binding", target.name, wanted["uid"], metadata["uid"])
    if node := pod["spec"].get("nodeName"):
        why = f"pod {target.name} is already assigned to node {node!r}"
        raise status.conflict("pods/binding", target.name, why)
    if "deletionTimestamp" in metadata:
        why = f"pod {target.name} is being deleted, cannot be assigned to a host"
        raise status.conflict("pods/binding", target.name, why)
    if pod["spec"].get("schedulingGates"):
        why = f"pod {target.name} has non-empty .spec.schedulingGates"
        raise status.conflict("pods/binding", target.name, why)
    marks = {field: wanted[field] for field in ("labels", "annotations") if wanted.get(field)}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}
    conditions = [c for c in pod["status"].get("conditions", []) if c["type"] != "PodScheduled"]
    bound = pod | {
        "metadata": patches.merge_patch(metadata, marks),
        "spec": pod["spec"] | {"nodeName": body["target"]["name"]},
        "status": pod["status"] | {"conditions": [*conditions, scheduled]},
    }
    verbs.storage.write(target.table, target.key, bound)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def request_token(verbs: Verbs, target: Target, body: Object) -> Object:
    """A token of a service account, bound to a pod if one is named."""
    verbs.get(target)
    spec = body.get("spec") or {}
    if bound := spec.get("boundObjectRef"):
        pod = verbs.get(Target("", "v1", "pods", target.namespace, bound["name"]))
        if bound.get("uid", pod["metadata"]["uid"]) != pod["metadata"]["uid"]:
            found = pod["metadata"]["uid"]
            raise status.wrong_uid("pods", bound["name"], bound["uid"], found)
    seconds = int(spec.get("expirationSeconds") or 3600)
    if seconds < 600:
        why = "may not specify a duration less than 10 minutes"
        raise status.invalid("TokenRequest", "", "spec.expirationSeconds", why)
    expires = datetime.now(UTC) + timedelta(seconds=seconds)
    subject = f"system:serviceaccount:{target.namespace}:{target.name}"
    claims = {"aud": spec.get("audiences") or ["fake"], "boundTo": (bound or {}).get("uid", "")}
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": target.name, "namespace": target.namespace},
        "spec": {"audiences": claims["aud"], "expirationSeconds": seconds} | spec,
        "status": {
            "token": _token(subject, expires, claims),
            "expirationTimestamp": now(seconds),
        },
    }


def _token(subject: str, expires: datetime, claims: Mapping[str, Any]) -> str:
    """A JSON web token with no valid signature."""
    payload = {"sub": subject, "exp": int(expires.timestamp()), **claims}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, payload))
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])
