"""Events of the super cluster, as the tenant whose object they are about may read them."""

import re
from typing import Any

from kube.objects import Object
from kube.resources import EVENTS
from syncer.kinds.mirror import body, object_patch, tenant_metadata
from syncer.kinds.pod_certificates import CERTIFICATE_SECRET, KEYS
from syncer.kinds.pod_volumes import TOKEN_SECRET
from syncer.kinds.trust_bundles import TRUST_SECRET
from vcluster import api, hosts_file
from vcluster.api import super_namespace

PREEMPTED = "Preempted"
PREEMPTION = re.compile(r"^Preempted by .* (on node \S+)$", re.DOTALL)
HOSTS_NOT_WRITTEN = (
    f"the cluster that runs the pod cannot prepare its {hosts_file.PATH}; the pod waits for that, "
    "and its provider has to see to it"
)
TOKEN_MISSING = re.compile(rf'secret "{TOKEN_SECRET}[0-9a-f]{{16}}" not found')
TOKEN_LATE = "the token of the pod's service account is not there yet"
CERTIFICATE_MISSING = re.compile(
    rf'secret "{CERTIFICATE_SECRET}[0-9a-f]{{16}}" not found'
    rf"|references non-existent secret key: {KEYS}\.\S+"
)
CERTIFICATE_LATE = "credential bundle is not issued yet"  # as kubelets say
TRUST_MISSING = re.compile(rf'secret "{TRUST_SECRET}[0-9a-f]{{16}}" not found')
TRUST_LATE = "the trust bundles of the pod are not there yet"
LATE = (
    (TOKEN_MISSING, TOKEN_LATE),
    (CERTIFICATE_MISSING, CERTIFICATE_LATE),
    (TRUST_MISSING, TRUST_LATE),
)
TOKEN_LOOKS = 3
"""A token is issued when the pod has its node, and a kubelet may be quicker. It looks again after 0.5 s, 1 s
and so on: if the third look fails too, something is wrong."""
SUPER_ONLY = ("uid", "resourceVersion")
VERBATIM = ("apiVersion", "fieldPath", "kind", "name")


def concerns_tenants(super_event: Object) -> bool:
    """Not what is usual of ours: an init container that is made, pulled, started; a token that comes."""
    if TOKEN_MISSING.search(super_event.get("message") or ""):
        return _times(super_event) >= TOKEN_LOOKS
    ours = super_event["involvedObject"].get("fieldPath") == hosts_file.FIELD_PATH
    return not ours or super_event.get("type") == "Warning"


def to_tenant(
    super_event: Object, tenant_namespace: str, tenant_uid: str, key: str, handler: str = ""
) -> Object:
    """The Event as the tenant ``key`` sees it, about its object of the UID ``tenant_uid``.

    ``handler``: of its pod's own RuntimeClass, if that one is not offered.

    Wherever a text names a super namespace it names the tenant's instead. ``related`` stays only if
    it is an object of the same namespace, or a node: it may be another tenant's. What fails in our init
    container, or to mount a Secret of ours, is said in other words.
    """
    involved: Object = super_event["involvedObject"]
    names = {
        super_namespace(key, tenant_namespace): tenant_namespace,
        f"{key}-": "",
        involved.get("uid") or "": tenant_uid,
        api.MIRRORED_ROOT_CA_CONFIG_MAP: api.ROOT_CA_CONFIG_MAP,
        api.SAID_OF_TENANT_PRIORITY_CLASS: "",
    }
    if handler:
        names[api.NOT_OFFERED_HANDLER] = handler
    names.pop("", None)
    event: Object = {
        field: _renamed(value, names)
        for field, value in body(super_event).items()
        if field not in ("involvedObject", "related")
    }
    event["involvedObject"] = _reference(involved, names) | {"namespace": tenant_namespace}
    if tenant_uid:
        event["involvedObject"]["uid"] = tenant_uid
    if (related := super_event.get("related")) and _may_see(related, key, tenant_namespace):
        event["related"] = _reference(related, names)
    _say_in_tenants_words(event)
    metadata = _renamed(tenant_metadata(super_event), names)
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": metadata
        | {"name": super_event["metadata"]["name"], "namespace": tenant_namespace},
        **event,
    }


def _times(event: Object) -> int:
    """How often it has been seen: newer recorders count in a series, and leave ``count`` alone."""
    series = event.get("series") or {}
    return max(event.get("count") or 1, series.get("count") or 1)


def _say_in_tenants_words(event: Object) -> None:
    """Change what a message says of others' pods, and of what is ours in the tenant's pod."""
    message = event.get("message") or ""
    if event["involvedObject"].get("fieldPath") == hosts_file.FIELD_PATH:
        del event["involvedObject"]["fieldPath"]
        event["message"] = HOSTS_NOT_WRITTEN
    elif message:
        if event.get("reason") == PREEMPTED:
            message = _anonymous_preemption(message)
        for missing, late in LATE:
            message = missing.sub(late, message)
        event["message"] = hosts_file.unnamed(message)


def patch(live: Object, wanted: Object) -> Object | None:
    """The JSON merge patch for the tenant's live Event: a repeated event counts up; None: nothing."""
    return object_patch(live, wanted)


def _reference(reference: Object, names: dict[str, str]) -> Object:
    """A reference without what names a version below. The object's name is the tenant's already."""
    kept: Object = {
        field: value if field in VERBATIM else _renamed(value, names)
        for field, value in reference.items()
        if field not in SUPER_ONLY
    }
    if kept.get("kind") == "ConfigMap" and kept["name"] == api.MIRRORED_ROOT_CA_CONFIG_MAP:
        kept["name"] = api.ROOT_CA_CONFIG_MAP
    return kept


def _may_see(related: Object, key: str, tenant_namespace: str) -> bool:
    namespace = related.get("namespace")
    if not namespace:
        return bool(related.get("kind") == "Node")
    return bool(namespace == super_namespace(key, tenant_namespace))


def _anonymous_preemption(message: str) -> str:
    """The scheduler names the pod that took the place: most likely another tenant's."""
    where = PREEMPTION.match(message)
    return "Preempted by a pod of higher priority" + (f" {where[1]}" if where else "")


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in names.items():
            if old in value:
                value = value.replace(old, new)
        return value
    if isinstance(value, dict):
        return {field: _renamed(item, names) for field, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return value
