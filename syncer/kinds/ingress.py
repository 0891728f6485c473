"""Ingresses, by option: each host has one owner among all tenants; only offered classes serve them."""

from collections.abc import Iterator

from kube.objects import Object
from kube.resources import INGRESSES
from syncer.kinds.classes import refuse_class
from syncer.kinds.mirror import (
    DownwardKind,
    Recreate,
    Refused,
    Write,
    body,
    listed,
    merge_patch,
    metadata_patch,
    super_metadata,
    with_digest,
)
from syncer.kinds.offers import Offers
from syncer.kinds.pod_volumes import Reference
from vcluster.api import Tenant

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
"""Deprecated, but still obeyed by controllers."""
# By annotations ingress controllers are told to add hosts, to read secrets of other namespaces, to run
# snippets in a proxy that all tenants share. So only these pass unless the provider allows more.
HARMLESS_KEYS = frozenset({"kubernetes.io/description", "kubernetes.io/change-cause"})
HARMLESS_DOMAINS = ("kubectl.kubernetes.io", "meta.helm.sh")


def admitted(ingress: Object, offers: Offers) -> Object:
    """The ingress with a class. Raises Refused for one that is not offered."""
    spec: Object = ingress.get("spec") or {}
    name = spec.get("ingressClassName") or offers.default_ingress_class
    refuse_class("spec.ingressClassName", name, offers.ingress_classes)
    return ingress | {"spec": spec | {"ingressClassName": name}}


def to_super(ingress: Object, tenant: Tenant) -> Object:
    """The super Ingress for a tenant's. Its services and secrets have the same names below."""
    spec: Object = ingress.get("spec") or {}
    _refuse_annotations(ingress["metadata"].get("annotations") or {}, tenant)
    _refuse_catch_all(spec)
    allowed = tenant.sync.ingress_classes
    if allowed and (name := spec.get("ingressClassName")):
        refuse_class("spec.ingressClassName", name, allowed)
    wanted = {
        "apiVersion": INGRESSES.api_version,
        "kind": INGRESSES.kind,
        "metadata": super_metadata(ingress, tenant, vetted=True),
        **body(ingress),
    }
    return with_digest(wanted)


def patch(live: Object, wanted: Object) -> Object | None:
    """What differs. Another class is another controller, and is admitted as for a new ingress."""
    have, want = (dict(obj.get("spec") or {}) for obj in (live, wanted))
    given = have.pop("ingressClassName", None)
    if want.pop("ingressClassName", given) != given:
        raise Recreate("spec.ingressClassName")
    change: Object = merge_patch(body(live) | {"spec": have}, body(wanted) | {"spec": want}) or {}
    if metadata := metadata_patch(live, wanted):
        change["metadata"] = metadata
    return change or None


def to_tenant(mirror: Object, ingress: Object, tenant: Tenant) -> list[Write]:
    """The address that the super cluster's controller gave."""
    have, given = ingress.get("status") or {}, mirror.get("status") or {}
    status = merge_patch(have, given)
    return [Write("status", {"status": status})] if status else []


def hosts(ingress: Object) -> frozenset[str]:
    """The hosts whose traffic or certificates the ingress asks for."""
    return frozenset(host for _, host in _hosts(ingress.get("spec") or {}) if host)


def references(ingress: Object, _: Tenant) -> tuple[Reference, ...]:
    """The secrets with its certificates."""
    certificates = (ingress.get("spec") or {}).get("tls") or ()
    names = dict.fromkeys(item.get("secretName") or "" for item in certificates)
    return tuple(Reference("secrets", name, True) for name in names if name)


def _hosts(spec: Object) -> Iterator[tuple[str, str]]:
    """Each host with its field; empty where there should be one."""
    for index, rule in enumerate(spec.get("rules") or ()):
        yield f"spec.rules[{index}].host", rule.get("host") or ""
    for index, item in enumerate(spec.get("tls") or ()):
        for host in item.get("hosts") or ("",):
            yield f"spec.tls[{index}].hosts", host


def _refuse_catch_all(spec: Object) -> None:
    """Raise Refused for what would take the requests to any host, others' among them."""
    if spec.get("defaultBackend"):
        raise Refused(
            "spec.defaultBackend",
            "HostRequired",
            "it would serve the hosts of others too; use a rule with a host and the path '/'",
        )
    for field, host in _hosts(spec):
        if not host:
            raise Refused(field, "HostRequired", "it is empty, which means all hosts; name one")


def _refuse_annotations(annotations: Object, tenant: Tenant) -> None:
    for key in annotations:
        domain, separator, _ = key.partition("/")
        if key == CLASS_ANNOTATION:
            message = f"{key!r} is not served; use spec.ingressClassName"
            raise Refused("metadata.annotations", "NotServed", message)
        harmless = not separator or domain in HARMLESS_DOMAINS or key in HARMLESS_KEYS
        if not harmless and not listed(key, tenant.sync.ingress_annotations):
            allowed = ", ".join(tenant.sync.ingress_annotations) or "none"
            raise Refused(
                "metadata.annotations",
                "NotAllowed",
                f"{key!r} would instruct a controller that all share; remove it; allowed: {allowed}",
            )


INGRESS = DownwardKind(
    resource=INGRESSES,
    to_super=to_super,
    patch=patch,
    to_tenant=to_tenant,
    admitted=admitted,
    enabled=lambda tenant: tenant.sync.ingresses,
    hosts=hosts,
    references=references,
)
