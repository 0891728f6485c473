"""Where a super pod may run: affinity, with the tenant's namespaces translated."""

from typing import Any

from kube.objects import Object
from vcluster import api
from vcluster.api import Tenant, super_namespace


def affinity(own: Object | None, node_name: str | None, tenant: Tenant) -> Object:
    """The super pod's affinity; empty if there is none."""
    wanted: Object = dict(own or {})
    for kind in ("podAffinity", "podAntiAffinity"):
        if kind in wanted:
            wanted[kind] = _pod_affinity(wanted[kind], tenant)
    if node_name:
        # The tenant named a node: the super cluster's scheduler decides, within that wish.
        wanted["nodeAffinity"] = _only_on(node_name, wanted.get("nodeAffinity") or {})
    return wanted


def namespace_selector(selector: Object, tenant: Tenant) -> Object:
    """A selector of namespaces, confined to the tenant's; ``metadata.name`` is translated."""
    labels = {
        _namespace_key(key): value for key, value in (selector.get("matchLabels") or {}).items()
    }
    expressions = [
        expression | {"key": _namespace_key(expression["key"])}
        for expression in selector.get("matchExpressions") or ()
    ]
    confined = selector | {"matchLabels": labels | {api.TENANT_LABEL: tenant.key}}
    return confined | ({"matchExpressions": expressions} if expressions else {})


def _namespace_key(key: str) -> str:
    return api.NAMESPACE_LABEL if key == "kubernetes.io/metadata.name" else key


def _pod_affinity(own: Object, tenant: Tenant) -> Object:
    wanted = dict(own)
    if terms := own.get("requiredDuringSchedulingIgnoredDuringExecution"):
        wanted["requiredDuringSchedulingIgnoredDuringExecution"] = [
            _term(term, tenant) for term in terms
        ]
    if weighted := own.get("preferredDuringSchedulingIgnoredDuringExecution"):
        wanted["preferredDuringSchedulingIgnoredDuringExecution"] = [
            item | {"podAffinityTerm": _term(item["podAffinityTerm"], tenant)} for item in weighted
        ]
    return wanted


def _term(term: Object, tenant: Tenant) -> Object:
    wanted = dict(term)
    if names := term.get("namespaces"):
        wanted["namespaces"] = [super_namespace(tenant.key, name) for name in names]
    if term.get("namespaceSelector") is not None:
        wanted["namespaceSelector"] = namespace_selector(term["namespaceSelector"], tenant)
    return wanted


def _only_on(node_name: str, own: Object) -> Object:
    field = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    required: Any = own.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or [{}]
    narrowed = [term | {"matchFields": [*(term.get("matchFields") or ()), field]} for term in terms]
    return own | {
        "requiredDuringSchedulingIgnoredDuringExecution": required | {"nodeSelectorTerms": narrowed}
    }
