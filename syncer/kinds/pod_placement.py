"""Where a super pod may run: affinity, with the tenant's namespaces translated."""

from typing import Any

from kube.objects import Object
from syncer.kinds.mirror import Refused
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


def node_selector(own: Object | None, tenant: Tenant) -> Object:
    """The super pod's node selector: the tenant's wish within its pool of nodes. Raises Refused."""
    for key, value in (own or {}).items():
        if tenant.node_selector.get(key, value) != value:
            raise Refused(
                "spec.nodeSelector",
                "OutsideNodePool",
                f"{key}={value} selects none of your nodes: all of them are labelled "
                f"{key}={tenant.node_selector[key]}",
            )
    return {**(own or {}), **tenant.node_selector}


def without_merged_keys(term: Object) -> Object:
    """A term of affinity or of topology spread as it was before the tenant's API server stored it.

    For each of ``matchLabelKeys`` it has added a requirement with the pod's own label. The super
    cluster's does so again, and refuses a selector that has the key already.
    """
    keys = [*(term.get("matchLabelKeys") or ()), *(term.get("mismatchLabelKeys") or ())]
    selector: Object = term.get("labelSelector") or {}
    if not keys or "matchExpressions" not in selector:
        return term
    merged = [(key, "In") for key in term.get("matchLabelKeys") or ()]
    merged += [(key, "NotIn") for key in term.get("mismatchLabelKeys") or ()]
    kept = [
        requirement
        for requirement in selector["matchExpressions"]
        if (requirement.get("key"), requirement.get("operator")) not in merged
    ]
    others = {name: value for name, value in selector.items() if name != "matchExpressions"}
    return term | {"labelSelector": others | ({"matchExpressions": kept} if kept else {})}


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
    wanted = dict(without_merged_keys(term))
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
