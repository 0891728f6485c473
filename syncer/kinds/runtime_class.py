"""Which RuntimeClass of the super cluster a pod runs under.

Nodes know handlers, not classes: a class is only a name for one, and a tenant may have names of its own.
So what counts is the handler of the tenant's class. One that the provider offers is named by the
provider's class; for any other there is a class of ours whose handler no node has, so that the kubelet
says what it says on any cluster, and nothing runs (docs/decisions/0018).
"""

from kube.objects import Object
from syncer.kinds.classes import refuse_class
from syncer.kinds.mirror import Refused
from syncer.kinds.offers import Offers
from vcluster import api
from vcluster.api import Tenant

FIELD = "spec.runtimeClassName"


def runtime(name: str | None, handler: str | None, tenant: Tenant, offers: Offers) -> Object:
    """The field that names the super pod's RuntimeClass, for one that the tenant knows as ``name``.

    ``handler`` is that of the tenant's class; None: the tenant has no such class any more. Where the
    provider forces a class the name stays: the policy decides about it (``kinds/pod_policy.py``).
    Raises Refused.
    """
    if not name or tenant.runtime_class:
        return {}
    if handler is None:
        refuse_class(FIELD, name, offers.runtime_classes)
        return {"runtimeClassName": name}
    if below := _class_of(name, handler, offers) or offers.not_offered_runtime_class:
        return {"runtimeClassName": below}
    raise Refused(FIELD, "NotOffered", not_offered(name, handler, offers))


def handler_mark(wanted: Object, handler: str | None) -> dict[str, str]:
    """The mark of a super pod that waits for a handler that is not offered."""
    waits = wanted.get("runtimeClassName") == api.NOT_OFFERED_RUNTIME_CLASS
    return {api.HANDLER_ANNOTATION: handler} if waits and handler else {}


def not_offered(name: str, handler: str, offers: Offers) -> str:
    """What there is to say of a class of the tenant's own whose handler is not offered."""
    there = (f"{own} ({offered})" for own, offered in sorted(offers.runtime_classes.items()))
    return (
        f"the handler {handler!r} of {name!r} is not offered here; "
        f"offered, by class (handler): {', '.join(there) or 'none'}"
    )


def _class_of(name: str, handler: str, offers: Offers) -> str:
    """The class of that name, else the first by name, of those with the handler; empty: none has it."""
    if offers.runtime_classes.get(name) == handler:
        return name
    same = (own for own, offered in offers.runtime_classes.items() if offered == handler)
    return min(same, default="")
