"""Where a super pod may run: affinity, with the tenant's namespaces translated."""

from collections.abc import Mapping
from typing import Any

from kube.objects import Object
from syncer.kinds.namespace import key_below
from vcluster import api
from vcluster.api import Tenant, super_namespace


def affinity(
    own: Object | None, node_name: str | None, labels: Mapping[str, str], tenant: Tenant
) -> Object:
    """The super pod's affinity; empty if there is none."""
    wanted: Object = dict(own or {})
    for kind in ("podAffinity", "podAntiAffinity"):
        if kind in wanted:
            wanted[kind] = _pod_affinity(wanted[kind], labels, tenant)
    fields, expressions = [], []
    if node_name:
        # The tenant named a node: the super cluster's scheduler decides, within that wish.
        fields = [{"key": "metadata.name", "operator": "In", "values": [node_name]}]
    for key, value in sorted(tenant.node_selector.items()):
        # Pods run only on nodes that the tenant is shown, whatever they ask for.
        expressions.append({"key": key, "operator": "In", "values": [value]})
    if fields or expressions:
        node_affinity = wanted.get("nodeAffinity") or {}
        wanted["nodeAffinity"] = _only_on(node_affinity, fields, expressions)
    return wanted


def without_merged_keys(term: Object, labels: Mapping[str, str]) -> Object:
    """A term of affinity or of topology spread as it was before the tenant's API server stored it.

    For each of ``matchLabelKeys`` and ``mismatchLabelKeys`` that the pod has as a label it has added
    a requirement. The super cluster's adds it again, and refuses a selector that names one of the
    former already.
    """
    same = {key for key in term.get("matchLabelKeys") or () if key in labels}
    other = [
        {"key": key, "operator": "NotIn", "values": [labels[key]]}
        for key in term.get("mismatchLabelKeys") or ()
        if key in labels
    ]
    selector: Object = term.get("labelSelector") or {}
    if not (same or other) or "matchExpressions" not in selector:
        return term
    kept = [
        requirement
        for requirement in selector["matchExpressions"]
        if requirement not in other
        and (requirement.get("operator") != "In" or requirement.get("key") not in same)
    ]
    others = {name: value for name, value in selector.items() if name != "matchExpressions"}
    return term | {"labelSelector": others | ({"matchExpressions": kept} if kept else {})}


def namespace_selector(selector: Object, tenant: Tenant) -> Object:
    """A selector of namespaces, confined to the tenant's, by the keys that these have below."""
    labels = {key_below(key): value for key, value in (selector.get("matchLabels") or {}).items()}
    expressions = [
        expression | {"key": key_below(expression["key"])}
        for expression in selector.get("matchExpressions") or ()
    ]
    confined = selector | {"matchLabels": labels | {api.TENANT_LABEL: tenant.key}}
    return confined | ({"matchExpressions": expressions} if expressions else {})


def _pod_affinity(own: Object, labels: Mapping[str, str], tenant: Tenant) -> Object:
    wanted = dict(own)
    if terms := own.get("requiredDuringSchedulingIgnoredDuringExecution"):
        wanted["requiredDuringSchedulingIgnoredDuringExecution"] = [
            _term(term, labels, tenant) for term in terms
        ]
    if weighted := own.get("preferredDuringSchedulingIgnoredDuringExecution"):
        wanted["preferredDuringSchedulingIgnoredDuringExecution"] = [
            item | {"podAffinityTerm": _term(item["podAffinityTerm"], labels, tenant)}
            for item in weighted
        ]
    return wanted


def _term(term: Object, labels: Mapping[str, str], tenant: Tenant) -> Object:
    wanted = dict(without_merged_keys(term, labels))
    if names := term.get("namespaces"):
        wanted["namespaces"] = [super_namespace(tenant.key, name) for name in names]
    if term.get("namespaceSelector") is not None:
        wanted["namespaceSelector"] = namespace_selector(term["namespaceSelector"], tenant)
    return wanted


def _only_on(own: Object, fields: list[Object], expressions: list[Object]) -> Object:
    required: Any = own.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or [{}]
    narrowed = []
    for term in terms:
        more = dict(term)
        if fields:
            more["matchFields"] = [*(term.get("matchFields") or ()), *fields]
        if expressions:
            # Ours first: a gated pod may only add to the end of what is there.
            more["matchExpressions"] = [*expressions, *(term.get("matchExpressions") or ())]
        narrowed.append(more)
    return own | {
        "requiredDuringSchedulingIgnoredDuringExecution": required | {"nodeSelectorTerms": narrowed}
    }
